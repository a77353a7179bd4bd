# `csa run` and `csa serve` on a processor, as a user without rights. A project lies in /project.
#
#   docker build -t csa .
#   docker run --rm -v "$PWD:/project" csa run
#   docker run --rm -v "$PWD:/project" -p 8080:8080 -e CSA_SERVE_TOKEN csa serve --host 0.0.0.0
#
# torch as the package registry has it brings libraries for GPUs, of gigabytes. PyTorch's builds for processors are elsewhere:
# `--build-arg PIP_EXTRA_INDEX_URL=ADDRESS` takes them from there, in the same version.

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS csa
ARG EXTRAS=builtin,demo,faiss,pipeline,s3
ARG PIP_EXTRA_INDEX_URL=
# DVC and the lineage of a run ask git; libgomp is of torch and FAISS.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /wheels/
COPY --from=wheel /wheels/*.whl /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[${EXTRAS}]"
RUN useradd --create-home --uid 1000 csa && install --directory --owner csa /project
USER 1000
WORKDIR /project
# A mounted project belongs to whoever made it.
RUN git config --global --add safe.directory /project
ENV PYTHONUNBUFFERED=1
EXPOSE 8080
ENTRYPOINT ["csa"]
CMD ["--help"]

# The same with what a team's servers need: MLflow's drivers for Postgres and S3. compose.yaml runs it.
FROM csa AS team
USER 0
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt psycopg2-binary==2.9.13 boto3
USER 1000

FROM csa
