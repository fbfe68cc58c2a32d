"""A Kubernetes of this machine: etcd, API server, controllers and scheduler, in a network of their own."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

ADDRESS = "10.244.0.1"
API = f"https://{ADDRESS}:6443"
SERVICES = "10.96.0.0/16"


class Failed(Exception):
    pass


def sh(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def wait_for(what, condition, seconds):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not in {seconds} s")
        time.sleep(0.2)


class Cluster:
    def __init__(self, programs, work):
        self.programs, self.work = pathlib.Path(programs), pathlib.Path(work)
        self.config = self.work / "kubeconfig"
        self.processes = {}

    # ---- processes ----

    def run(self, name, *arguments, environment=None):
        path = self.programs / name
        log = open(self.work / f"{name}.log", "ab")  # pylint: disable=consider-using-with
        command = [str(path) if path.exists() else name, *arguments]
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})

    def stop(self):
        for process in reversed(list(self.processes.values())):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                tail = (self.work / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
                raise Failed(f"{name} ended with {process.returncode}:\n" + "\n".join(tail))

    def resident_mib(self):
        """Peak memory of each process, where the system tells it."""
        found = {}
        for name, process in self.processes.items():
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text() if process.poll() is None else ""
            peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
            if peak:
                found[name] = int(peak[1]) // 1024
        return found

    # ---- start ----

    def network(self):
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "cni0", "type", "bridge")
        sh("ip", "address", "add", f"{ADDRESS}/24", "dev", "cni0")
        sh("ip", "link", "set", "cni0", "up")
        sh("ip", "route", "add", "default", "dev", "cni0")

    def certificates(self):
        """Tokens name who asks; only TLS and the tokens of service accounts need keys."""
        self.certs = self.work / "certs"
        self.certs.mkdir()
        sh("openssl", "genrsa", "-out", str(self.certs / "accounts.key"), "2048")
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubernetes",
           "-addext", f"subjectAltName=IP:{ADDRESS},DNS:kubernetes", "-keyout", str(self.certs / "api.key"), "-out", str(self.certs / "api.crt"))
        (self.certs / "tokens").write_text("proof,admin,admin,system:masters\n")
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "proof",
            "clusters": [{"name": "proof", "cluster": {"server": API, "certificate-authority": str(self.certs / "api.crt")}}],
            "users": [{"name": "admin", "user": {"token": "proof"}}],
            "contexts": [{"name": "proof", "context": {"cluster": "proof", "user": "admin"}}],
        }))

    def control_plane(self):
        self.network()
        self.certificates()
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        self.run("etcd", "--data-dir", str(self.work / "etcd"), "--unsafe-no-fsync", "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
        accounts = str(self.certs / "accounts.key")
        self.run("kube-apiserver", "--etcd-servers", client, "--advertise-address", ADDRESS, "--secure-port", "6443", "--authorization-mode", "Node,RBAC", "--kubelet-preferred-address-types", "InternalIP",
                 "--tls-cert-file", str(self.certs / "api.crt"), "--tls-private-key-file", str(self.certs / "api.key"),
                 "--token-auth-file", str(self.certs / "tokens"), "--service-cluster-ip-range", SERVICES,
                 "--service-account-issuer", "https://kubernetes", "--service-account-key-file", accounts, "--service-account-signing-key-file", accounts)
        wait_for("the API server is ready", self.ready, 120)
        self.run("kube-controller-manager", "--kubeconfig", str(self.config), "--service-account-private-key-file", accounts, "--root-ca-file", str(self.certs / "api.crt"),
                 "--use-service-account-credentials", "--leader-elect=false", "--bind-address", "127.0.0.1")
        self.run("kube-scheduler", "--kubeconfig", str(self.config), "--leader-elect=false", "--bind-address", "127.0.0.1")
        wait_for("the default service account", lambda: self.try_kubectl("get", "serviceaccount", "default") is not None, 60)

    def ready(self):
        self.check()
        return (self.try_kubectl("get", "--raw", "/readyz") or "").strip() == "ok"

    # ---- asking ----

    def kubectl(self, *arguments, given=None):
        return sh(str(self.programs / "kubectl"), "--kubeconfig", str(self.config), *arguments, input=given)

    def try_kubectl(self, *arguments):
        try:
            return self.kubectl(*arguments)
        except Failed:
            return None

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))
