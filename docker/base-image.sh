#!/usr/bin/env bash
# Makes the image debian:trixie-slim from the mirror of this host's own apt, for machines that reach no registry. Needs
# root, debootstrap and a Docker engine. What docker/Dockerfile builds on it differs in nothing but the base layer.
set -euo pipefail

name=${1:-debian:trixie-slim}
suite=trixie
export LC_ALL=C

die() {
    printf 'base-image: %s\n' "$*" >&2
    exit 1
}

case "$name" in
-h | --help)
    printf 'usage: docker/base-image.sh [NAME]   (NAME: debian:trixie-slim)\nEnvironment: DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR (else those of this host), SOURCE_DATE_EPOCH (newest file time).\n'
    exit 0
    ;;
esac

# host_uri ENDING: the first address in the host's apt sources that ends so
host_uri() {
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
        sed -nE "s#^(URIs:|deb( \[[^]]*\])?)[[:space:]]+(https?://[^[:space:]]*$1)/?([[:space:]].*)?\$#\3#p" |
        head -n 1
}

mirror=${DEBIAN_MIRROR:-$(host_uri /debian)}
[ -n "$mirror" ] || die "no Debian mirror in this host's apt sources: set DEBIAN_MIRROR"
security=${DEBIAN_SECURITY_MIRROR:-$(host_uri /debian-security)}
[ "$(id -u)" = 0 ] || die "debootstrap needs root: run as root"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
docker=${DOCKER:-docker}
"$docker" version >/dev/null 2>&1 || die "no Docker engine answers: start it, or set DOCKER_HOST"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/meltica-base.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

printf 'base-image: making %s from %s\n' "$name" "$mirror" >&2
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; die "debootstrap failed (network or mirror?)"; }

# As in the official slim image: no documentation but the licences, no translations.
cat >"$root/etc/dpkg/dpkg.cfg.d/docker-slim" <<'CONF'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-include /usr/share/locale/locale.alias
path-exclude /usr/share/lintian/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/linda/*
CONF
cat >"$root/etc/apt/apt.conf.d/docker-slim" <<'CONF'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
CONF
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
{
    printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        "$mirror" "$suite" "$suite"
    [ -z "$security" ] ||
        printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
            "$security" "$suite"
} >"$root/etc/apt/sources.list.d/debian.sources"
rm -f "$root/etc/apt/sources.list" "$root/etc/hostname" "$root/etc/resolv.conf"
# A proxy or the like that the host needs, the image's build needs too.
grep -hs -i '^acquire::[a-z]*::proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d/* >"$root/etc/apt/apt.conf.d/host-proxy" ||
    rm -f "$root/etc/apt/apt.conf.d/host-proxy"

chroot "$root" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get upgrade -y -qq' >>"$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; die "apt fails inside"; }
find "$root/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/{man,info,lintian,groff,linda}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
    "$root"/var/cache/debconf/*-old "$root"/var/cache/ldconfig/aux-cache "$root"/var/log/{apt,dpkg.log,alternatives.log,bootstrap.log} \
    "$root"/var/lib/dpkg/*-old "$root"/run/* "$root"/tmp/*
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
# Two hosts with the same packages make the same layer: names in order, no time of today.
: >"$root/etc/machine-id"
epoch=${SOURCE_DATE_EPOCH:-$(find "$root/usr/share/doc" -name copyright -printf '%T@\n' | sort -n | tail -n 1 | cut -d. -f1)}
tar -C "$root" --sort=name --numeric-owner --mtime="@$epoch" --clamp-mtime --exclude=./dev/* --exclude=./proc/* \
    --exclude=./sys/* --xattrs --format=pax --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -cf - . |
    "$docker" import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$name" >/dev/null
"$docker" image inspect --format '{{index .RepoTags 0}} {{.Size}} bytes {{index .RootFS.Layers 0}}' "$name"
