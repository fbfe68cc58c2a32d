{{/*
What the services make themselves with provisioning.mode "app"; ./dev helm-test compares it with what they make. Buckets
are streams too (KV_...), with what a KeyValue resource cannot say. `{first}` stands for the first sequence.
*/}}
{{- define "meltica.streams" -}}
{{- $data := .Values.dataBus.config -}}
- name: MELTICA_CONTROL
  subjects: ["meltica.int.control.*.*"]
  storage: file
  maxMsgsPerSubject: 5
  duplicateWindow: 2m
  allowDirect: true
- name: MELTICA_AUDIT
  subjects: ["meltica.int.audit.*"]
  storage: file
  maxBytes: 268435456
  allowDirect: true
- name: MELTICA_REJECTED
  subjects: ["meltica.int.rejected.>"]
  storage: memory
  maxBytes: 67108864
  maxMsgs: 100000
  allowDirect: true
{{- if ne (toString $data.journal) "false" }}
- name: MELTICA_JOURNAL
  subjects: ["meltica.journal.*"]
  storage: memory
  maxBytes: {{ $data.journalMaxBytes | default 1073741824 | int64 }}
  maxAge: {{ $data.journalMaxAgeS | default 900 | int64 }}s
  allowDirect: true
{{- end }}
{{- $first := .Values.provisioning.nack.firstSequence }}
{{- $buckets := list (list "dispatch" "file" false) (list "instruments" "file" false) (list "owners" "memory" true) (list "snapshots" "memory" true) }}
{{- if .Values.adapter.config.egress }}
{{- $buckets = append $buckets (list "weight" "file" true) }}
{{- end }}
{{- range $buckets }}
- name: KV_meltica-{{ first . }}
  subjects: ["$KV.meltica-{{ first . }}.>"]
  storage: {{ index . 1 }}
  maxMsgsPerSubject: 1
  discard: new
  allowRollup: true
  denyDelete: true
  allowDirect: true
  {{- if last . }}
  firstSequence: {{ $first }}
  {{- end }}
{{- end }}
{{- end -}}
