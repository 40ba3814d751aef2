{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{/* Name of all objects: the release's, with probed in it. */}}
{{- define "probed.name" -}}
{{- contains "probed" .Release.Name | ternary .Release.Name (printf "%s-probed" .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels by which everything selects the pods. */}}
{{- define "probed.selector" -}}
app.kubernetes.io/name: probed
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Name and labels of an object in the release's namespace. */}}
{{- define "probed.metadata" -}}
name: {{ include "probed.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "probed.labels" . | nindent 2 }}
{{- end -}}

{{- define "probed.labels" -}}
{{ include "probed.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A health check: over HTTPS with TLS, and of the port alone where all pages need a password or a certificate. */}}
{{- define "probed.check" -}}
{{- $web := .root.Values.web.config -}}
{{- $tls := get $web "tls_server_config" | default dict -}}
{{- if or (get $web "basic_auth_users") (hasPrefix "Require" (get $tls "client_auth_type" | default "")) -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics{{ if $tls }}, scheme: HTTPS{{ end }}}
{{- end -}}
{{- end -}}

{{/* The scraped endpoint of a monitor; `labels` of the operator that the metrics have themselves are dropped. */}}
{{- define "probed.endpoint" -}}
- port: metrics
  path: /metrics
  interval: {{ .Values.monitor.interval }}
  scrapeTimeout: {{ .Values.monitor.scrapeTimeout }}
  {{- with .Values.monitor.endpoint }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  relabelings:
    - sourceLabels: [__meta_kubernetes_pod_node_name]
      targetLabel: instance
    # probed's own namespace, pod and container: the metrics have labels of these names.
    - action: labeldrop
      regex: namespace|pod|container|endpoint{{ if eq .Values.monitor.kind "ServiceMonitor" }}|service{{ end }}
{{- end -}}
