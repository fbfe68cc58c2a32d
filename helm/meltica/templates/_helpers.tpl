{{/* Names. A release whose name contains "meltica" does not say it twice. */}}
{{- define "meltica.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "meltica" .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-meltica" (.Release.Name | replace "." "-" | trunc 32) | replace "--" "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change while an object lives: (dict "root" $ "component" "adapter") */}}
{{- define "meltica.selector" -}}
app.kubernetes.io/name: meltica
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Of a pod: nothing that a new version of the chart alone would change, or it would replace every pod. */}}
{{- define "meltica.podLabels" -}}
{{ include "meltica.selector" . }}
app.kubernetes.io/part-of: meltica
{{- end -}}

{{- define "meltica.labels" -}}
{{ include "meltica.selector" . }}
app.kubernetes.io/part-of: meltica
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "meltica.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "meltica.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* "registry/repository:tag", or by digest: (dict "image" map "repository" r "tag" t) */}}
{{- define "meltica.imageOf" -}}
{{- $at := ternary (printf "%s/%s" .image.registry .repository) .repository (ne .image.registry "") -}}
{{- if .digest -}}
{{- printf "%s@%s" $at .digest -}}
{{- else -}}
{{- printf "%s:%s" $at .tag -}}
{{- end -}}
{{- end -}}

{{/* Image of one of Meltica's own programs: (dict "root" $ "name" "adapter") */}}
{{- define "meltica.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := ternary "meltica" (printf "meltica-%s" .name) (eq .name "meltica") -}}
{{- include "meltica.imageOf" (dict "image" $image "repository" $repository "tag" ($image.tag | default .root.Chart.AppVersion)
    "digest" (get $image.digests .name)) -}}
{{- end -}}

{{- define "meltica.natsUrl" -}}
{{- if .Values.nats.bundled.enabled -}}
nats://{{ include "meltica.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end -}}
{{- end -}}

{{- define "meltica.simulatorHost" -}}
{{ include "meltica.fullname" . }}-simulator.{{ .Release.Namespace }}.svc:8080
{{- end -}}

{{/* A number of the values as it stands: YAML's are floats in here. */}}
{{- define "meltica.scalar" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* Port of a URL, which may say none: "443" and so on. NATS takes a list: the first one's. */}}
{{- define "meltica.urlPort" -}}
{{- $url := first (splitList "," .) | trim -}}
{{- $host := regexReplaceAll "^[a-z]+://([^@/]*@)?" $url "" | splitList "/" | first -}}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- if $port -}}{{ $port }}
{{- else if hasPrefix "https" $url -}}443
{{- else if hasPrefix "wss" $url -}}443
{{- else if hasPrefix "http" $url -}}80
{{- else if hasPrefix "ws" $url -}}80
{{- else -}}4222
{{- end -}}
{{- end -}}

{{/* Quantity of whole bytes, Ki, Mi, Gi, k, M or G as bytes. */}}
{{- define "meltica.bytes" -}}
{{- $n := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "Ki" . -}}{{ mul $n 1024 }}
{{- else if hasSuffix "Mi" . -}}{{ mul $n 1048576 }}
{{- else if hasSuffix "Gi" . -}}{{ mul $n 1073741824 }}
{{- else if hasSuffix "k" . -}}{{ mul $n 1000 }}
{{- else if hasSuffix "M" . -}}{{ mul $n 1000000 }}
{{- else if hasSuffix "G" . -}}{{ mul $n 1000000000 }}
{{- else -}}{{ $n }}
{{- end -}}
{{- end -}}

{{- define "meltica.provision" -}}
{{- ternary "app" "external" (eq .Values.provisioning.mode "app") -}}
{{- end -}}

{{/* What the schema cannot say: combinations. Each ends the rendering with what to do. */}}
{{- define "meltica.check" -}}
{{- $nats := .Values.nats -}}
{{- if and $nats.bundled.enabled $nats.url -}}
{{- fail "nats.url and nats.bundled.enabled exclude each other: set nats.bundled.enabled=false to use a NATS of your own, or remove nats.url" -}}
{{- end -}}
{{- if not (or $nats.bundled.enabled $nats.url) -}}
{{- fail "no NATS: set nats.url to the URL of yours (nats://host:4222), or nats.bundled.enabled=true for a single node to try things out" -}}
{{- end -}}
{{- if and (ne $nats.auth.mode "none") (not $nats.auth.existingSecret) -}}
{{- fail (printf "nats.auth.mode=%s needs nats.auth.existingSecret: the name of a Secret with the credentials of the services" $nats.auth.mode) -}}
{{- end -}}
{{- if and (eq $nats.auth.mode "none") $nats.auth.existingSecret -}}
{{- fail "nats.auth.existingSecret is set, and nats.auth.mode is none: say what is in it (creds, nkey, password or token)" -}}
{{- end -}}
{{- if and $nats.tls.clientCertificate (not $nats.tls.existingSecret) -}}
{{- fail "nats.tls.clientCertificate needs nats.tls.existingSecret with ca.crt, tls.crt and tls.key" -}}
{{- end -}}
{{- if and $nats.bundled.enabled $nats.tls.existingSecret -}}
{{- fail "nats.tls is for a NATS of your own: the bundled one has no TLS" -}}
{{- end -}}
{{- if and $nats.bundled.usersSecret (eq $nats.auth.mode "none") -}}
{{- fail "nats.bundled.usersSecret gives the server users, so the services need nats.auth too" -}}
{{- end -}}
{{- if and $nats.bundled.enabled (gt (int .Values.provisioning.replicas) 1) -}}
{{- fail (printf "provisioning.replicas is %d, and the bundled NATS is one server: set it to 1, or nats.url to the servers of a cluster" (int .Values.provisioning.replicas)) -}}
{{- end -}}
{{- if gt (int .Values.conductor.replicas) (int .Values.partitions) -}}
{{- fail (printf "conductor.replicas is %d, and there are only %d partitions to share: raise partitions or lower the replicas" (int .Values.conductor.replicas) (int .Values.partitions)) -}}
{{- end -}}
{{- if and .Values.dispatcher.table .Values.dispatcher.existingConfigMap -}}
{{- fail "dispatcher.table and dispatcher.existingConfigMap exclude each other: one table" -}}
{{- end -}}
{{- if and .Values.dispatcher.tableFile (or .Values.dispatcher.table .Values.dispatcher.existingConfigMap) -}}
{{- fail "dispatcher.tableFile names a table of the image: remove it, or dispatcher.table and dispatcher.existingConfigMap" -}}
{{- end -}}
{{- if and .Values.controlBus.policy .Values.controlBus.existingConfigMap -}}
{{- fail "controlBus.policy and controlBus.existingConfigMap exclude each other: one policy" -}}
{{- end -}}
{{- if and .Values.console.enabled (not $nats.bundled.enabled) (not .Values.console.config.natsWsUrl) -}}
{{- fail "console.enabled with a NATS of your own needs console.config.natsWsUrl: its WebSocket listener, as browsers reach it (wss://host:port)" -}}
{{- end -}}
{{- if and .Values.simulator.enabled (or .Values.adapter.config.wsUrl .Values.adapter.config.restUrl) -}}
{{- fail "simulator.enabled points the Adapter at the simulator: remove adapter.config.wsUrl and adapter.config.restUrl" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would scrape every pod twice: enable one" -}}
{{- end -}}
{{- $journal := .Values.dataBus.config.journalMaxBytes | default 1073741824 | int64 -}}
{{- $memory := include "meltica.bytes" $nats.bundled.jetstream.memoryStore | int64 -}}
{{- if and $nats.bundled.enabled (ne (toString .Values.dataBus.config.journal) "false") (eq .Values.provisioning.mode "app") (gt (add $journal 134217728) $memory) -}}
{{- fail (printf "nats.bundled.jetstream.memoryStore=%s is too small for the journal (%d bytes) and 128Mi for books and rejections: raise it, lower dataBus.config.journalMaxBytes, or set dataBus.config.journal=false" $nats.bundled.jetstream.memoryStore $journal) -}}
{{- end -}}
{{- $ring := .Values.dispatcher.config.ringBytes | default 8388608 | int64 -}}
{{- $limit := include "meltica.scalar" (dig "limits" "memory" "" (.Values.dispatcher.resources | default dict)) -}}
{{- if and (regexMatch "^[0-9]+([KMG]i|[kMG])?$" $limit) (gt (add $ring 50331648) (include "meltica.bytes" $limit | int64)) -}}
{{- fail (printf "dispatcher.resources.limits.memory=%s is too small for dispatcher.config.ringBytes (%d bytes) and 48Mi for the rest: raise it, or lower ringBytes" $limit $ring) -}}
{{- end -}}
{{- end -}}
