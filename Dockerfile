# Earshot and its engines in one image, for coordinator and worker alike. How to use it: docs/containers.md.
# Debian 12, because its engines are the ones that Earshot is tested with.

FROM node:24-bookworm-slim AS packages
RUN npm install --global pnpm@12.21.0
WORKDIR /app
# The manifests alone: as long as they stay, Docker takes the installed packages from its cache.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
COPY packages/cli/package.json packages/cli/
COPY packages/contract/package.json packages/contract/
COPY packages/coordinator/package.json packages/coordinator/
COPY packages/db/package.json packages/db/
COPY packages/sdk/package.json packages/sdk/
COPY packages/shared/package.json packages/shared/
COPY packages/worker/package.json packages/worker/
RUN pnpm install --frozen-lockfile --prod --filter earshot...
COPY packages packages
COPY sql sql

FROM node:24-bookworm-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends espeak-ng ffmpeg flite inotify-tools pocketsphinx pocketsphinx-en-us \
  && rm -rf /var/lib/apt/lists/*
COPY --from=packages /app /app
# A volume takes its owner from the folder it is mounted on when it is new.
RUN ln -s /app/packages/cli/bin/earshot.mjs /usr/local/bin/earshot \
  && install -d -o node -g node /var/lib/earshot /inbox
ENV NODE_ENV=production EARSHOT_HOME=/var/lib/earshot EARSHOT_INBOX=/inbox
USER node
WORKDIR /var/lib/earshot
VOLUME ["/var/lib/earshot"]
ENTRYPOINT ["earshot"]
CMD ["--help"]
