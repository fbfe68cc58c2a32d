{{/*
One of the services as a pod. Takes a dict: root, component ("data-bus"), values (of that service), count (pods),
shared (they share the partitions by ordinal), single (never two of them), env (more variables, as YAML), mounts and
volumes (the same), checksum (of what the pod reads only once).
*/}}
{{- define "meltica.podMetadata" -}}
labels:
  {{- include "meltica.podLabels" . | nindent 2 }}
  {{- with merge (dict) .values.podLabels .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) .values.podAnnotations .root.Values.podAnnotations }}
{{- if .checksum }}
{{- $annotations = set $annotations "checksum/config" .checksum }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "meltica.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "meltica.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods go: the service's own value, else everybody's. Needs root, component, values, count. */}}
{{- define "meltica.placement" -}}
{{- $v := .root.Values -}}
{{- with .values.nodeSelector | default $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations | default $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity | default $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName | default $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if and $v.topologySpread.enabled (gt (int .count) 1) }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ $v.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "meltica.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Secret's key and file of one user's credentials: (dict "auth" .Values.nats.auth "who" "adapter") */}}
{{- define "meltica.credentialKey" -}}
{{- $ending := get (dict "creds" "creds" "nkey" "nk" "password" "password" "token" "token") .auth.mode -}}
{{- .auth.sharedKey | default (printf "%s.%s" .who $ending) -}}
{{- end -}}

{{- define "meltica.credentialUser" -}}
{{- .auth.sharedUser | default (printf "meltica-%s" .who) -}}
{{- end -}}

{{/* Volumes with the credentials of one user, mounted at /etc/meltica/nats and /etc/meltica/tls. */}}
{{- define "meltica.natsVolumes" -}}
{{- $nats := .root.Values.nats -}}
{{- if ne $nats.auth.mode "none" }}
- name: nats-credentials
  secret:
    secretName: {{ $nats.auth.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ include "meltica.credentialKey" (dict "auth" $nats.auth "who" .who) | quote }}
        path: credentials
{{- end }}
{{- if $nats.tls.existingSecret }}
- name: nats-tls
  secret:
    secretName: {{ $nats.tls.existingSecret }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
      {{- if $nats.tls.clientCertificate }}
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
      {{- end }}
{{- end }}
{{- end -}}

{{- define "meltica.natsMounts" -}}
{{- $nats := .root.Values.nats -}}
{{- if ne $nats.auth.mode "none" }}
- name: nats-credentials
  mountPath: /etc/meltica/nats
  readOnly: true
{{- end }}
{{- if $nats.tls.existingSecret }}
- name: nats-tls
  mountPath: /etc/meltica/tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "meltica.natsEnv" -}}
{{- $nats := .root.Values.nats -}}
- name: MELTICA_NATS_URL
  value: {{ include "meltica.natsUrl" .root | quote }}
{{- if eq $nats.auth.mode "creds" }}
- name: MELTICA_NATS_CREDS_FILE
  value: /etc/meltica/nats/credentials
{{- else if eq $nats.auth.mode "nkey" }}
- name: MELTICA_NATS_NKEY_FILE
  value: /etc/meltica/nats/credentials
{{- else if eq $nats.auth.mode "password" }}
- name: MELTICA_NATS_USER
  value: {{ include "meltica.credentialUser" (dict "auth" $nats.auth "who" .who) | quote }}
- name: MELTICA_NATS_PASSWORD_FILE
  value: /etc/meltica/nats/credentials
{{- else if eq $nats.auth.mode "token" }}
- name: MELTICA_NATS_TOKEN_FILE
  value: /etc/meltica/nats/credentials
{{- end }}
{{- if $nats.tls.existingSecret }}
- name: MELTICA_TLS_CA_FILE
  value: /etc/meltica/tls/ca.crt
{{- if $nats.tls.clientCertificate }}
- name: MELTICA_TLS_CERT_FILE
  value: /etc/meltica/tls/tls.crt
- name: MELTICA_TLS_KEY_FILE
  value: /etc/meltica/tls/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/* Everybody's config with the service's own on top, as YAML; a merge would take 0 and false for nothing. */}}
{{- define "meltica.config" -}}
{{- $config := dict -}}
{{- range $from := list .root.Values.config .values.config -}}
{{- range $key, $value := $from -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $config $key (include "meltica.scalar" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The same, each as MELTICA_<KEY>, in the order of names. */}}
{{- define "meltica.configEnv" -}}
{{- $config := include "meltica.config" . | fromYaml -}}
{{- range $key := keys $config | sortAlpha }}
- name: MELTICA_{{ $key | snakecase | upper }}
  value: {{ get $config $key | quote }}
{{- end }}
{{- end -}}

{{- define "meltica.tracingEnv" -}}
{{- $t := .root.Values.tracing -}}
{{- if $t.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $t.endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ $t.sampler | quote }}
{{- if contains "traceidratio" $t.sampler }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $t.samplerArg | quote }}
{{- end }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NODE
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," (concat (list "k8s.namespace.name=$(POD_NAMESPACE)" "k8s.pod.name=$(MELTICA_INSTANCE)" "k8s.node.name=$(POD_NODE)") $t.resourceAttributes) | quote }}
{{- with $t.headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $t.headersSecret.key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Time for the drain, the journal's acknowledgements and the end itself, in seconds. */}}
{{- define "meltica.grace" -}}
{{- $config := include "meltica.config" . | fromYaml -}}
{{- $drain := add (dig "drainTimeoutMs" 5000 $config | int64) (dig "journalDrainMs" 1000 $config | int64) -}}
{{- max 20 (add (div $drain 1000) 10) -}}
{{- end -}}

{{- define "meltica.podSpec" -}}
{{- $v := .root.Values -}}
{{- $nats := dict "root" .root "who" .component -}}
serviceAccountName: {{ include "meltica.serviceAccount" .root }}
automountServiceAccountToken: false
# A release named meltica would give its pods variables MELTICA_NATS_PORT and the like.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "meltica.grace" . }}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "meltica.podSecurity" . | nindent 2 }}
{{- with include "meltica.placement" . | trim }}
{{ . }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "meltica.image" (dict "root" .root "name" .component) | quote }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    securityContext:
      {{- include "meltica.containerSecurity" . | nindent 6 }}
    env:
      - name: MELTICA_INSTANCE
        valueFrom:
          fieldRef:
            fieldPath: metadata.name
      {{- if .shared }}
      - name: MELTICA_REPLICA
        valueFrom:
          fieldRef:
            fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
      - name: MELTICA_REPLICAS
        value: {{ .count | quote }}
      {{- end }}
      - name: MELTICA_PARTITIONS
        value: {{ include "meltica.scalar" $v.partitions | quote }}
      - name: MELTICA_PROVISION
        value: {{ include "meltica.provision" .root }}
      - name: MELTICA_STREAM_REPLICAS
        value: {{ include "meltica.scalar" $v.provisioning.replicas | quote }}
      - name: MELTICA_HTTP_PORT
        value: {{ include "meltica.scalar" $v.httpPort | quote }}
      {{- include "meltica.natsEnv" $nats | nindent 6 }}
      {{- with include "meltica.configEnv" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with .env }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "meltica.tracingEnv" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
    ports:
      - name: http
        containerPort: {{ $v.httpPort }}
    startupProbe:
      httpGet: { path: /livez, port: http }
      periodSeconds: 1
      failureThreshold: {{ $v.probes.startupSeconds }}
    livenessProbe:
      httpGet: { path: /livez, port: http }
      {{- toYaml $v.probes.liveness | nindent 6 }}
    readinessProbe:
      httpGet: { path: /readyz, port: http }
      {{- toYaml $v.probes.readiness | nindent 6 }}
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    {{- with printf "%s\n%s" (include "meltica.natsMounts" $nats | trim) (.mounts | default "") | trim }}
    volumeMounts:
      {{- . | nindent 6 }}
    {{- end }}
{{- with printf "%s\n%s" (include "meltica.natsVolumes" $nats | trim) (.volumes | default "") | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A Deployment of one pod that must never run twice, or of several equal ones. */}}
{{- define "meltica.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "meltica.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "meltica.labels" . | nindent 4 }}
spec:
  replicas: {{ .count }}
  revisionHistoryLimit: 3
  strategy:
    {{- if .single }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
    {{- end }}
  selector:
    matchLabels:
      {{- include "meltica.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "meltica.podMetadata" . | nindent 6 }}
    spec:
      {{- include "meltica.podSpec" . | nindent 6 }}
{{- end -}}

{{/* Its port for scrapers; without an address of its own, since nobody else calls it. */}}
{{- define "meltica.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "meltica.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "meltica.labels" . | nindent 4 }}
    meltica.dev/scrape: "true"
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "meltica.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .root.Values.httpPort }}
      targetPort: http
{{- end -}}

{{- define "meltica.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "meltica.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "meltica.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "meltica.selector" . | nindent 6 }}
{{- end -}}
