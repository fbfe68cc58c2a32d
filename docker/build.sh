#!/usr/bin/env bash
# Builds the images, one after the other: meltica-<target>:<version> and :local. See docs/deployment.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
all=(adapter dispatcher conductor control-bus data-bus meltica exchange-sim nats console)
targets=()
options=()
prefix=${MELTICA_REGISTRY:-}
base=${BASE_IMAGE:-debian:trixie-slim}

usage() {
    cat <<TEXT
usage: docker/build.sh [--again] [TARGET...]   (${all[*]})
  --again   take nothing from earlier builds
console is built of the page, which ./dev console build makes first: node 20 with npm on the host, or root.
Environment: BASE_IMAGE (debian:trixie-slim; made by docker/base-image.sh where it is not here and cannot be pulled),
MELTICA_REGISTRY (before the names, with a slash at its end), JOBS (compilers at a time, 1), SOURCE_DATE_EPOCH (the commit's), DOCKER (docker).
TEXT
}

die() {
    printf 'build: %s\n' "$*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        usage
        exit 0
        ;;
    --again) options+=(--build-arg "ROUND=$(date +%s%N)") ;;
    -*) die "no option \"$1\" (--help tells more)" ;;
    *)
        [[ " ${all[*]} " == *" $1 "* ]] || die "no target \"$1\"; there are ${all[*]}"
        targets+=("$1")
        ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

docker=${DOCKER:-docker}
"$docker" version >/dev/null 2>&1 || die "no Docker engine answers: start it, or set DOCKER_HOST"
if ! "$docker" image inspect "$base" >/dev/null 2>&1 && ! "$docker" pull -q "$base" >/dev/null 2>&1; then
    printf 'build: %s cannot be pulled; making it here\n' "$base" >&2
    "$here/docker/base-image.sh" "$base"
fi

version=$(head -n 1 "$here/VERSION")
revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || printf unknown)
if [ "$revision" != unknown ] && [ -n "$(git -C "$here" status --porcelain 2>/dev/null)" ]; then
    revision=$revision-dirty
fi
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || stat -c %Y "$here/VERSION")}
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)

# BuildKit skips what a target does not need and needs a component of its own from client 23 on; the classic builder
# builds more, and the same.
if [ -z "${DOCKER_BUILDKIT:-}" ]; then
    DOCKER_BUILDKIT=0
    major=$("$docker" version --format '{{.Client.Version}}' | cut -d. -f1)
    if "$docker" buildx version >/dev/null 2>&1 || [ "$major" -lt 23 ]; then
        DOCKER_BUILDKIT=1
    fi
fi
export DOCKER_BUILDKIT

# What the image of the console has of the page: itself, and the licences of what is in it.
page() {
    local from=$here/services/console/web/node_modules to=$here/build/console-image
    "$here/dev" console build >&2 || die "no page for the console: see above, or name the other targets"
    rm -rf "$to"
    mkdir -p "$to"
    cp -r "$here/build/console" "$to/console"
    cp "$here/build/console.packages" "$to/console-packages"
    sed -E 's#usr/share/(doc/)?meltica#usr/local/share/meltica#g' "$here/packaging/deb/copyright" >"$to/console-copyright"
    cp "$from/@fontsource-variable/inter/LICENSE" "$to/console-font-license"
}
[[ " ${targets[*]} " != *" console "* ]] || page

for target in "${targets[@]}"; do
    image=${prefix}meltica-$target
    [ "$target" != meltica ] || image=${prefix}meltica
    printf 'build: %s:%s\n' "$image" "$version" >&2
    nice -n 10 "$docker" build ${options[@]+"${options[@]}"} --network=host \
        --file "$here/docker/Dockerfile" --target "$target" \
        --build-arg BASE_IMAGE="$base" --build-arg JOBS="${JOBS:-1}" --build-arg SOURCE_DATE_EPOCH="$epoch" \
        --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created" \
        --tag "$image:$version" --tag "$image:local" "$here"
done
