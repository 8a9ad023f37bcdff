#!/bin/sh
# Makes studio/export/browser_page/runtime.js and runtime.wasm.gz from packages of the npm registry: Transformers.js and
# the WebAssembly build of ONNX Runtime that it was made for. Needs Node and npm. The files are part of the wheel.
set -eu
transformers=4.3.2
esbuild=0.27.2
place=$(cd "$(dirname "$0")/.." && pwd)/studio/export/browser_page
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "type": "module"}' > package.json
npm install --ignore-scripts --no-audit --no-fund "@huggingface/transformers@$transformers" "esbuild@$esbuild"
cat > entry.js <<'JS'
export { AutoModelForSequenceClassification, AutoTokenizer, env } from "@huggingface/transformers";
JS
# the build without WebGPU is half as large
./node_modules/.bin/esbuild entry.js --bundle --format=iife --global-name=transformers --platform=browser --minify \
  --target=chrome103,firefox113,safari16.4 --alias:onnxruntime-web/webgpu=onnxruntime-web/wasm --legal-comments=none \
  --outfile="$place/runtime.js"
gzip -9 -n -c node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm > "$place/runtime.wasm.gz"
{
  echo "Transformers.js and @huggingface/tokenizers: Apache License 2.0"
  cat node_modules/@huggingface/transformers/LICENSE
  echo "@huggingface/jinja: MIT License"
  cat node_modules/@huggingface/jinja/LICENSE
} > "$place/LICENSES.txt"
grep '"version"' node_modules/onnxruntime-web/package.json
