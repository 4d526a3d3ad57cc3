{{- /* What containers may do: nothing but compute, read, and write to /data. */}}
{{- define "schoolbell.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{- define "schoolbell.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Variables of (dict "settings" … "secrets" …), sorted by name. Numbers of YAML are floats, which
would be printed as 1e+06. */}}
{{- define "schoolbell.env" -}}
{{- $env := dict }}
{{- range $name, $value := .settings }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
{{- $_ := set $env $name (toString $value) }}
{{- end }}
{{- range $name, $_ := .secrets }}
{{- $_ := set $env (printf "%s_FILE" $name) (printf "/run/schoolbell/secrets/%s" $name) }}
{{- end }}
{{- range $name, $value := $env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- /* Mounts and volumes of (dict "secrets" … "files" … "claim" …). */}}
{{- define "schoolbell.mounts" -}}
- {name: data, mountPath: /data}
{{- if .claim }}
- {name: documents, mountPath: /data/documents}
{{- end }}
{{- if .secrets }}
- {name: secrets, mountPath: /run/schoolbell/secrets, readOnly: true}
{{- end }}
{{- if .files }}
- {name: files, mountPath: /run/schoolbell/files, readOnly: true}
{{- end }}
{{- end }}

{{- define "schoolbell.volumes" -}}
- name: data
  emptyDir: {sizeLimit: 64Mi}
{{- with .claim }}
- name: documents
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- with .secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := . }}
      - secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
      {{- end }}
{{- end }}
{{- with .files }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := . }}
      - {{ if $from.secret }}secret: {name: {{ $from.secret }}{{ else }}configMap: {name: {{ $from.configMap }}{{ end }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
      {{- end }}
{{- end }}
{{- end }}

{{- /* Where pods run, of (dict "root" $ "own" …): a process's own choice, else that of all. */}}
{{- define "schoolbell.placement" -}}
{{- $own := .own }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with (get $own $field | default (get $.root.Values $field)) }}
{{ $field }}: {{- if kindIs "string" . }} {{ . }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
