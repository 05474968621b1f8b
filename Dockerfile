# Build: all dependencies, the compiled program and the WebAssembly kernel; then only what runs is kept.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json asconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

# Runtime: the program, its production dependencies and the shipped models and fusion configs.
# Who reaches the container is decided where its port is published: there, set SHOULDERS_API_KEYS (README, Keys).
FROM node:20-bookworm-slim
ENV NODE_ENV=production \
    SHOULDERS_HOST=0.0.0.0 \
    SHOULDERS_WITHOUT_KEYS=anywhere \
    SHOULDERS_MODELS_DIR=/models
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY models/family/giant.gguf models/family/dwarf*.gguf ./models/family/
# To serve your own: mount them over this directory, or set SHOULDERS_FUSION_CONFIGS.
COPY fusion-configs ./fusion-configs
# Models named by hf: URIs are downloaded here: mount a volume to keep them.
RUN mkdir /models && chown node:node /models
VOLUME /models
USER node
EXPOSE 8080
# Alive from the first second; GET /readyz tells when the models are loaded.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.SHOULDERS_PORT || 8080) + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
