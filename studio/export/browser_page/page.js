// The page of a browser export. Everything that it needs is inside of it: it loads nothing, and sends nothing.

const settings = JSON.parse(document.getElementById("settings").textContent);
const element = (id) => document.getElementById(id);

/** The bytes of an embedded file: gzip, then base64. */
async function embedded(id) {
  const text = atob(element(id).textContent);
  element(id).remove();
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** Tokenizer and model, from the embedded files. */
async function load() {
  const { env, AutoTokenizer, AutoModelForSequenceClassification } = transformers;
  const files = {};
  for (const [name, id] of Object.entries(settings.files)) files[name] = await embedded(id);
  // Transformers.js asks this cache first. What is not in it, the page does not have.
  env.useCustomCache = true;
  env.customCache = {
    match: async (request) => {
      const bytes = files[String(request.url ?? request).split("/").pop()];
      return bytes && new Response(bytes, { headers: { "content-length": String(bytes.byteLength) } });
    },
    put: async () => {},
  };
  env.useWasmCache = false;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  Object.assign(env.backends.onnx.wasm, {
    wasmBinary: await embedded("runtime-wasm"),
    wasmPaths: undefined,
    numThreads: 1,
    proxy: false,
  });
  const tokenizer = await AutoTokenizer.from_pretrained("model");
  const model = await AutoModelForSequenceClassification.from_pretrained("model", {
    dtype: settings.dtype,
    device: "wasm",
  });
  return { tokenizer, model };
}

/** The probability of each label, or the score, of a text or a pair of texts. */
async function answer(loaded, texts) {
  const inputs = loaded.tokenizer([texts[0]], {
    text_pair: settings.pair ? [texts[1] ?? ""] : null,
    truncation: true,
    max_length: settings.longest,
  });
  const logits = Array.from((await loaded.model(inputs)).logits.data);
  if (settings.problem === "regression") return logits;
  if (settings.problem) return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Draw one bar for each label, the likeliest first. */
function show(shares) {
  const rows = settings.labels.map((label, place) => ({ label, share: shares[place] }));
  if (settings.problem !== "regression") rows.sort((a, b) => b.share - a.share);
  element("answer").replaceChildren(
    ...rows.map(({ label, share }) => {
      const row = document.createElement("li");
      const [name, bar, number] = ["span", "progress", "b"].map((tag) => document.createElement(tag));
      name.textContent = label;
      bar.value = share;
      bar.setAttribute("aria-label", label);
      bar.hidden = settings.problem === "regression";
      number.textContent = settings.problem === "regression" ? share.toFixed(3) : `${(100 * share).toFixed(1)}%`;
      row.append(name, bar, number);
      return row;
    }),
  );
}

/** Compare with the answers of the studio. Return how many texts get the same label, and the largest difference. */
async function compare(loaded) {
  const best = (shares) => shares.indexOf(Math.max(...shares));
  let same = 0;
  let largest = 0;
  for (const { texts, shares } of settings.checks) {
    const own = await answer(loaded, texts);
    const differences = own.map((share, place) => Math.abs(share - shares[place]));
    largest = Math.max(largest, ...differences);
    same += settings.problem ? Math.max(...differences) <= settings.near : best(own) === best(shares);
  }
  return { same, of: settings.checks.length, largest };
}

async function start() {
  try {
    const loaded = await load();
    window.classify = (...texts) => answer(loaded, texts);
    const run = async () => show(await answer(loaded, [element("text").value, element("second")?.value]));
    element("form").addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    element("go").disabled = false;
    element("state").textContent = "Ready. Your text stays in this browser.";
    const { same, of, largest } = await compare(loaded);
    element("test").textContent =
      `Tested in this browser: ${same} of ${of} texts get the same result as in the studio. ` +
      `Largest difference: ${largest.toFixed(4)}.`;
    document.body.dataset.same = `${same}/${of}`;
  } catch (error) {
    element("state").textContent =
      `This browser can't run the model: ${error.message}. Use a current Chrome, Edge, Firefox or Safari.`;
    document.body.dataset.failed = "true";
  }
}

start();
