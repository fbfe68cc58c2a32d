"""A node for the cluster on this machine: containerd, kubelet, kube-proxy and DNS; and images without a registry."""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

from cluster import ADDRESS, API, Failed, sh, wait_for

VERSION = (pathlib.Path(__file__).resolve().parents[2] / "VERSION").read_text().splitlines()[0]
CONTAINERD = """version = 2
root = "{work}/containerd"
state = "/run/containerd-k8s"
[grpc]
  address = "/run/containerd-k8s.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/meltica/pause:local"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs}"
    conf_dir = "{work}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
"""
NETWORK = {
    "cniVersion": "0.4.0", "name": "proof",
    "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": True, "isDefaultGateway": True, "hairpinMode": True,
                 "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10"}]]}}],
}
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs", "cgroupsPerQOS": False, "enforceNodeAllocatable": [],
    "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local", "containerRuntimeEndpoint": "unix:///run/containerd-k8s.sock",
    "failSwapOn": False, "resolvConf": "", "containerLogMaxSize": "1Gi", "podLogsDir": "/var/log/pods", "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"},
}


def own_folders():
    """What containerd and kubelet keep at fixed places is here and ends with the mount namespace."""
    for folder in ("/run", "/var/log", "/var/lib/kubelet"):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", folder)


def start(cluster):
    """The node is this machine: pods are containers of its kernel."""
    work = cluster.work
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    bridged = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1")
    (work / "cni").mkdir()
    (work / "cni" / "10-proof.conflist").write_text(json.dumps(NETWORK))
    (work / "kubelet.json").write_text(json.dumps(KUBELET))
    (work / "containerd.toml").write_text(CONTAINERD.format(work=work, programs=cluster.programs, snapshotter=os.environ.get("SNAPSHOTTER", "overlayfs")))
    (work / "Corefile").write_text(f".:53 {{\n  errors\n  kubernetes cluster.local {{\n    kubeconfig {cluster.config}\n  }}\n}}\n")
    cluster.run("containerd", "--config", str(work / "containerd.toml"))
    wait_for("containerd answers", lambda: answers(cluster), 60)
    cluster.run("coredns", "-conf", str(work / "Corefile"))
    cluster.run("kubelet", "--config", str(work / "kubelet.json"), "--kubeconfig", str(cluster.config), "--hostname-override", "node", "--node-ip", ADDRESS,
                "--cert-dir", str(work / "kubelet-certs"))
    cluster.run("kube-proxy", "--kubeconfig", str(cluster.config), "--master", API, "--hostname-override", "node", "--proxy-mode", "iptables",
                "--cluster-cidr", "10.244.0.0/24", "--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s")
    wait_for("the node is ready", lambda: ready(cluster), 120)


def ctr(*arguments):
    return sh("ctr", "--address", "/run/containerd-k8s.sock", "--namespace", "k8s.io", *arguments)


def answers(cluster):
    cluster.check()
    try:
        ctr("version")
        return True
    except Failed:
        return False


def ready(cluster):
    cluster.check()
    nodes = cluster.get("nodes")["items"]
    return bool(nodes) and any(c["type"] == "Ready" and c["status"] == "True" for c in nodes[0]["status"]["conditions"])


# ---- images ----


def add(archive, path, name, mode=0o755):
    info = tarfile.TarInfo(name.lstrip("/"))
    data = path.read_bytes()
    info.size, info.mode = len(data), mode
    archive.addfile(info, io.BytesIO(data))


def libraries(root, programs):
    """Paths inside the root of what the programs are linked with."""
    found = set()
    for program in programs:
        text = subprocess.run(["chroot", str(root), "/usr/bin/ldd", str(program)], capture_output=True, text=True, check=True).stdout
        found.update(re.findall(r"(/\S+) \(0x", text))
    return sorted(found)


def archive_of(images, layer, where):
    """An archive as `docker save` makes it: {name: entrypoint}, all with one layer."""
    digest = hashlib.sha256(layer).hexdigest()
    manifest = []
    with tarfile.open(where, "w") as out:
        def put(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        put("layer.tar", layer)
        for name, entrypoint in images.items():
            config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
                                 "config": {"Entrypoint": entrypoint, "User": "65532:65532", "WorkingDir": "/"}}).encode()
            file = hashlib.sha256(config).hexdigest() + ".json"
            put(file, config)
            manifest.append({"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]})
        put("manifest.json", json.dumps(manifest).encode())


def service_images(root, binaries, share, page, where):
    """The programs of a build with their libraries: what docker/Dockerfile installs, without Debian around it."""
    names = {"adapter": "meltica-adapter", "dispatcher": "meltica-dispatcher", "conductor": "meltica-conductor", "data-bus": "meltica-data-bus",
             "control-bus": "meltica-control-bus", "console": "meltica-console", "meltica": "meltica", "exchange-sim": "meltica-exchange-sim"}
    inside = [pathlib.Path("/usr/bin/tail")]
    staging = pathlib.Path(root) / "var" / "tmp" / "meltica-k8s"
    staging.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for program in names.values():
            (staging / program).write_bytes((binaries / program).read_bytes())
            (staging / program).chmod(0o755)
            inside.append(pathlib.Path("/var/tmp/meltica-k8s") / program)
            add(layer, binaries / program, f"usr/local/bin/{program}")
        for library in libraries(root, inside):
            add(layer, pathlib.Path(root) / library.lstrip("/"), library)
        add(layer, pathlib.Path(root) / "usr/bin/tail", "usr/bin/tail")
        for file in share:
            add(layer, file, f"usr/local/share/meltica/{file.name}", 0o644)
        for file in sorted(page.iterdir()):
            add(layer, file, f"usr/local/share/meltica/console/{file.name}", 0o644)
    for program in names.values():
        (staging / program).unlink()
    staging.rmdir()
    images = {f"docker.io/library/{program}:{VERSION}": [f"/usr/local/bin/{program}"] for program in names.values()}
    images["docker.io/meltica/pause:local"] = ["/usr/bin/tail", "-f", "/dev/null"]
    archive_of(images, buffer.getvalue(), where)


def server_image(server, name, where):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        add(layer, pathlib.Path(server), "nats-server")
    archive_of({name: ["/nats-server"]}, buffer.getvalue(), where)
