# Fine-tune Studio in a container: a public demo, or a team's server with a command of its own (compose.yaml).
# Targets: `cpu` is the last one, so it is the default and what a Hugging Face Space builds. `cuda` is for NVIDIA GPUs.
# The starter models are inside; the running studio asks for no network.
FROM python:3.12-slim AS source

WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > needed.txt
COPY Dockerfile README.md LICENSE ./
COPY assets assets
COPY docs docs
COPY studio studio
RUN pip wheel --no-cache-dir --no-deps --wheel-dir dist .


FROM python:3.12-slim AS venv

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/studio
ENV PATH=/opt/studio/bin:$PATH


# The large and seldom changed parts first, so that a change of the code does not fetch them again.
# Each build has its own torch. The starter models come from the Hub, or from the packages that carry them.
FROM venv AS build-cpu

ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH_CPU_INDEX" torch==2.13.0
COPY --from=source /src/needed.txt /src/constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement needed.txt
COPY --from=source /src/dist dist
RUN pip install --no-cache-dir --no-deps dist/*.whl && STUDIO_CACHE=/opt/studio-cache python -m studio.models


FROM venv AS build-cuda

RUN pip install --no-cache-dir torch==2.13.0
COPY --from=source /src/needed.txt /src/constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement needed.txt
COPY --from=source /src/dist dist
RUN pip install --no-cache-dir --no-deps dist/*.whl && STUDIO_CACHE=/opt/studio-cache python -m studio.models


FROM python:3.12-slim AS runtime

RUN useradd --create-home --uid 1000 user && install -d -o 1000 -g 1000 /home/user/studio /home/user/.cache /home/user/.cache/huggingface
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


FROM runtime AS cuda

# NVIDIA's container toolkit reads these two and puts the driver into the container.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/studio /opt/studio
COPY --from=build-cuda /opt/studio-cache /opt/studio-cache


FROM runtime AS cpu

COPY --from=build-cpu /opt/studio /opt/studio
COPY --from=build-cpu /opt/studio-cache /opt/studio-cache
