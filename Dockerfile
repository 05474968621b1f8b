# docker build -t shoulders .                                  computes on the processor (amd64, arm64)
# docker build -t shoulders:cuda --build-arg BACKEND=cuda .    computes on NVIDIA cards (amd64): docker run --gpus all
# `npx tsx scripts/try-image.ts` makes these file systems without Docker and starts the server in them.
ARG BACKEND=cpu

# Build: all dependencies, the compiled program and the WebAssembly kernel; then only what runs is kept.
FROM node:20.20.2-bookworm-slim@sha256:2cf067cfed83d5ea958367df9f966191a942351a2df77d6f0193e162b5febfc0 AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json asconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund
# npm brings libllama for every platform and backend; an image runs on one.
ARG BACKEND
RUN case "$BACKEND" in \
        cpu) kept="linux-$(node -p process.arch)" ;; \
        cuda) kept="linux-x64-cuda" ;; \
        *) echo "BACKEND is cpu or cuda, not $BACKEND" >&2; exit 1 ;; \
    esac && \
    cd node_modules/@node-llama-cpp && test -d "$kept" && \
    find . -mindepth 1 -maxdepth 1 ! -name "$kept" -exec rm -r {} + && \
    rm -rf ../@libsql/*-musl

FROM node:20.20.2-bookworm-slim@sha256:2cf067cfed83d5ea958367df9f966191a942351a2df77d6f0193e162b5febfc0 AS base-cpu

# What libllama's CUDA 13 build asks for: the runtime, which the base has, and cuBLAS. The driver (580 or newer) is the
# host's. node-llama-cpp's build for CUDA 12 and older cards would need another base, and is left out.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04@sha256:f8ef28f579ea42a44b415d2c5d46f788e6a9b395c6c83f2929416e1fc192c143 AS base-cuda
RUN apt-get update && apt-get install -y --no-install-recommends libcublas-13-0 && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/node /usr/local/bin/node

# Runtime: the program, its production dependencies and the shipped models and fusion configs.
# Who reaches the container is decided where its port is published: there, set SHOULDERS_API_KEYS (docs/operations.md).
FROM base-${BACKEND}
ARG BACKEND
ENV NODE_ENV=production \
    SHOULDERS_BACKEND=${BACKEND} \
    SHOULDERS_HOST=0.0.0.0 \
    SHOULDERS_WITHOUT_KEYS=anywhere \
    SHOULDERS_MODELS_DIR=/models \
    SHOULDERS_CACHE_DIR=/cache \
    SHOULDERS_STATE_DIR=/state
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY models/family/giant.gguf models/family/dwarf*.gguf ./models/family/
# To serve your own: mount them over this directory, and the files they call ../my-models/… at /app/my-models.
COPY fusion-configs ./fusion-configs
# Downloaded models, what spares later starts some work, and ratings and kept responses: mount volumes to keep them.
# Whoever the container runs as may write there.
RUN mkdir -m 1777 /models /cache /state
VOLUME ["/models", "/cache", "/state"]
USER 1000:1000
EXPOSE 8080
# Alive from the first second; GET /readyz tells when the models are loaded.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.SHOULDERS_PORT || 8080) + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
