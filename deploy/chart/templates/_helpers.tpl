{{- define "shoulders.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "shoulders.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "shoulders.labels" -}}
{{ include "shoulders.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "shoulders.keys" -}}
{{- if .Values.keys.secret }}{{ .Values.keys.secret }}{{ else if .Values.keys.values }}{{ include "shoulders.name" . }}-keys{{ end }}
{{- end }}

{{/* Names by which the service is called: the server refuses others. */}}
{{- define "shoulders.hosts" -}}
{{- $name := include "shoulders.name" . -}}
{{- join "," (concat (list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace)) (default list .Values.settings.allowedHosts)) -}}
{{- end }}
