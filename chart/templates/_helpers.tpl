{{- define "skeg.selector" -}}
app.kubernetes.io/name: skeg
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "skeg.labels" -}}
{{ include "skeg.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "skeg.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository: name the image to run; there is no published one yet" $image.repository -}}
{{- if $image.digest -}}{{ $repository }}@{{ $image.digest }}{{- else -}}{{ $repository }}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end }}

{{/* What skeg may do where it looks after workloads. A test holds it against what skeg asks of the API server. */}}
{{- define "skeg.rules" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [skeg.dev]
  resources: [imageupdates]
  verbs: [get, list, create, update, delete]
{{- end }}

{{/* One replica, or two of which one leads. */}}
{{- define "skeg.replicas" -}}
{{- if not (has (toString .Values.replicas) (list "1" "2")) -}}{{ fail "replicas: 1 or 2; one leads, and more would only stand by" }}{{- end -}}
{{ .Values.replicas }}
{{- end }}

{{/* Whether images are compared with the platforms of nodes, as the configuration writes it: only where the chart lets skeg read nodes. */}}
{{- define "skeg.platforms" -}}
{{- if not (has .Values.platforms (list "auto" "on" "off")) -}}{{ fail "platforms: auto, on or off" }}{{- end -}}
{{- if or (eq .Values.platforms "on") (and (eq .Values.platforms "auto") (not .Values.namespaces)) -}}auto{{- else -}}off{{- end -}}
{{- end }}

{{- define "skeg.subject" -}}
- kind: ServiceAccount
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
{{- end }}
