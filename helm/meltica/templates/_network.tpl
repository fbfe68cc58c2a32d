{{- define "meltica.egressDns" -}}
- ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
  {{- with .Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "meltica.egressNats" -}}
- ports:
    {{- range (ternary (list "nats://:4222") (splitList "," .Values.nats.url) .Values.nats.bundled.enabled) }}
    - { protocol: TCP, port: {{ include "meltica.urlPort" . }} }
    {{- end }}
  {{- if .Values.nats.bundled.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "meltica.selector" (dict "root" . "component" "nats") | nindent 10 }}
  {{- else if .Values.networkPolicy.natsTo }}
  to:
    {{- toYaml .Values.networkPolicy.natsTo | nindent 4 }}
  {{- end }}
{{- end -}}
