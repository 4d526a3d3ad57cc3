#!/bin/sh
# Makes the secrets of deploy/compose.yaml, once: what is there stays. The folder is for its owner
# alone; the files in it can be read by the users of the containers.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
secret() { # file text
	[ -e "secrets/$1" ] || printf '%s\n' "$2" >"secrets/$1"
	chmod 644 "secrets/$1"
}
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# An installation of v0.1.0 has its secrets in .env, and a database with the password that all had.
password=$(random)
if [ -e .env ]; then
	. ./.env
	password=schoolbell
fi
secret jwt-secret "${SCHOOLBELL_JWT_SECRET:-$(random)}"
secret link-key "${SCHOOLBELL_DOCUMENTS_LINK_KEY:-$(random)}"
secret postgres-password "$password"
secret database-url "postgres://schoolbell:$(cat secrets/postgres-password)@postgres:5432/schoolbell"
