{{/* What a NATS server needs to serve Meltica well. */}}
{{- define "meltica.natsConfig" -}}
{{- $v := .Values.nats.bundled -}}
server_name: {{ include "meltica.fullname" . }}-nats
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
# A consumer that stopped is cut after a second; without it all others wait for it.
write_deadline: "1s"
# At least three seconds of the busiest flow.
max_pending: {{ include "meltica.bytes" $v.maxPending }}
# Whoever publishes never waits for a consumer.
no_fast_producer_stall: true
jetstream {
  store_dir: /data
  max_memory_store: {{ include "meltica.bytes" $v.jetstream.memoryStore }}
  max_file_store: {{ include "meltica.bytes" $v.jetstream.fileStore }}
  # What the Control Bus said is stored is on the disk.
  sync_interval: always
}
{{- if .Values.console.enabled }}
websocket {
  listen: "0.0.0.0:9222"
  # An ingress has it, or a forwarded port.
  no_tls: true
  allowed_origins: {{ toJson .Values.console.origins }}
}
{{- end }}
{{- if $v.usersSecret }}
include "../nats-users/users.conf"
{{- end }}
{{- end -}}
