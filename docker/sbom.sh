#!/bin/sh
# sbom.sh IMAGE VERSION EPOCH [PACKAGES]: SPDX 2.3 (JSON) of the image it runs in: every Debian package that dpkg knows,
# Meltica itself, and the npm packages of a file (name, version, licence, with tabs). The same packages make the same bytes. Runs while an image is built; needs nothing but dpkg and awk.
set -eu

image=$1
version=$2
epoch=$3
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
distro=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
packages=$(dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' | LC_ALL=C sort)
[ -z "${4:-}" ] || packages=$(printf '%s\n' "$packages" && cat "$4")
digest=$(printf '%s\n%s\n%s\n%s\n' "$image" "$version" "$epoch" "$packages" | sha256sum | cut -c1-32)

printf '%s\n' "$packages" | awk -F '\t' -v image="$image" -v version="$version" -v created="$created" \
    -v distro="$distro" -v digest="$digest" '
function percent(text) { # of a package URL
    gsub(/\+/, "%2B", text)
    gsub(/:/, "%3A", text)
    gsub(/~/, "%7E", text)
    return text
}
function id(text) {
    gsub(/[^A-Za-z0-9.-]/, "-", text)
    return text
}
BEGIN {
    printf "{\n \"spdxVersion\": \"SPDX-2.3\",\n \"dataLicense\": \"CC0-1.0\",\n \"SPDXID\": \"SPDXRef-DOCUMENT\",\n"
    printf " \"name\": \"meltica-%s-%s\",\n \"documentNamespace\": \"urn:meltica:sbom:%s:%s:%s\",\n", image, version, image, version, digest
    printf " \"creationInfo\": {\"created\": \"%s\", \"creators\": [\"Tool: meltica-docker-sbom-%s\"]},\n", created, version
    printf " \"documentDescribes\": [\"SPDXRef-meltica\"],\n \"packages\": [\n"
    printf "  {\"SPDXID\": \"SPDXRef-meltica\", \"name\": \"meltica-%s\", \"versionInfo\": \"%s\", \"supplier\": \"Organization: Meltica\", ", image, version
    printf "\"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false, \"licenseConcluded\": \"Apache-2.0\", \"licenseDeclared\": \"Apache-2.0\", \"copyrightText\": \"NOASSERTION\"}"
}
NF == 3 { # of npm
    name[NR] = id("SPDXRef-npm-" $1)
    at = $1
    sub(/^@/, "%40", at)
    printf ",\n  {\"SPDXID\": \"%s\", \"name\": \"%s\", \"versionInfo\": \"%s\", \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false, ", name[NR], $1, $2
    printf "\"licenseConcluded\": \"NOASSERTION\", \"licenseDeclared\": \"%s\", \"copyrightText\": \"NOASSERTION\", ", $3
    printf "\"externalRefs\": [{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"pkg:npm/%s@%s\"}]}", at, $2
    next
}
{
    name[NR] = id("SPDXRef-deb-" $1 "-" $3)
    printf ",\n  {\"SPDXID\": \"%s\", \"name\": \"%s\", \"versionInfo\": \"%s\", \"supplier\": \"Organization: Debian\", ", name[NR], $1, $2
    printf "\"sourceInfo\": \"built from %s %s\", \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false, ", $4, $5
    printf "\"licenseConcluded\": \"NOASSERTION\", \"licenseDeclared\": \"NOASSERTION\", \"copyrightText\": \"NOASSERTION\", "
    printf "\"externalRefs\": [{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"pkg:deb/debian/%s@%s?arch=%s&distro=%s\"}]}", percent($1), percent($2), $3, distro
}
END {
    printf "\n ],\n \"relationships\": [\n"
    for (i = 1; i <= NR; i++)
        printf "  {\"spdxElementId\": \"SPDXRef-meltica\", \"relationshipType\": \"DEPENDS_ON\", \"relatedSpdxElement\": \"%s\"}%s\n", name[i], i < NR ? "," : ""
    printf " ]\n}\n"
}'
