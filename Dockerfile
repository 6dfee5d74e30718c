# The proxy of docker-compose.yml.
FROM nginxinc/nginx-unprivileged:1.31-alpine AS proxy
USER root
COPY project/server/nginx.conf project/server/nginx.sh project/server/nginx_tls.conf /etc/nginx/deals/
# nginx must be able to read its configuration, even if it was cloned under a strict umask.
RUN chmod -R u=rwX,go=rX /etc/nginx/deals
USER 101
CMD ["sh", "/etc/nginx/deals/nginx.sh"]

# This stage installs and compiles the libraries and the code; the final image does not contain pip.
FROM python:3.13-slim AS builder
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt /app/
# Only pinned packages are installed, and the check fails if a dependency is missing. Translations (USE_I18N is off) and
# Redoc (the documentation uses Swagger UI) are 31 MB that the service never reads.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps -r /app/requirements.txt \
    && pip --python /opt/venv/bin/python check \
    && find /opt/venv/lib -type d '(' -name LC_MESSAGES -o -path '*/drf_spectacular_sidecar/redoc' ')' -prune -exec rm -r '{}' + \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
COPY . /app/
# The user of the service must be able to read the code, even if it was cloned under a strict umask.
RUN chmod -R u=rwX,go=rX /app \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app
# Collect and compress static files once, at build time.
RUN mkdir /app/collected && /opt/venv/bin/python /app/manage.py collectstatic --no-input --verbosity 0

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Deals in gems" \
      org.opencontainers.image.description="REST and GraphQL API for deals.csv files" \
      org.opencontainers.image.version="1.1.0"
# All code is compiled already, and the service cannot write to its folder.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PORT=8000
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# Volumes: static files, which nginx serves, and files of asynchronous uploads, which workers load.
RUN install -d -o 10001 -g 10001 /static /uploads
# A numeric user, so that Kubernetes' runAsNonRoot can verify that it is not root.
USER 10001:10001
EXPOSE 8000
# Liveness only: a restart of this container cannot repair the database, and while a database hangs every thread may wait
# for it. gunicorn itself replaces a worker whose main loop hangs. Load balancers use /health/ready.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, socket; socket.create_connection(('localhost', int(os.environ['PORT'])), 4).close()"]
CMD ["python", "manage.py", "serve"]
