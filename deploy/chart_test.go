package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/golden"
)

const chart = "helm/schoolbell"

var sizes = []string{"small", "medium", "large"}

func valuesOf(size string) string { return filepath.Join("helm/sizes", size+".yaml") }

// helm runs the program and returns what it prints on standard output, and on standard error.
func helm(t *testing.T, args ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), devtest.Program(t, "helm"), args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.Bytes(), problems.String(), err
}

// render returns the manifests of the chart with values.
func render(t *testing.T, args ...string) []byte {
	t.Helper()
	out, problems, err := helm(t,
		append([]string{"template", "schoolbell", chart, "--namespace=schools"}, args...)...)
	require.NoError(t, err, problems)
	return out
}

// What changes in a cluster by a change of the chart is seen in the difference of these files.
// Rules and dashboards are left out, as they are files of their own.
func TestChartGolden(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "helm")
	for _, size := range sizes {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			got := render(t, "--values="+valuesOf(size),
				"--set=prometheusRule.enabled=false,dashboards.enabled=false")
			golden.Check(t, filepath.Join("helm/sizes/testdata", size+".golden.yaml"), got)
		})
	}
}

func TestChartIsWhatKubernetesTakes(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "helm", "strict")
	for _, size := range sizes {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			out, problems, err := helm(t, "lint", "--strict", chart, "--values="+valuesOf(size))
			require.NoError(t, err, "%s%s", out, problems)
			requireStrict(t, render(t, "--values="+valuesOf(size)))
		})
	}
	t.Run("as it comes", func(t *testing.T) {
		t.Parallel()
		requireStrict(t, render(t))
	})
}

func TestExamplesAreWhatKubernetesTakes(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "strict")
	files, err := filepath.Glob("kubernetes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		requireStrict(t, text)
	}
}

// requireStrict decodes manifests into the types of their kinds, as the API server does when it
// validates fields strictly.
func requireStrict(t *testing.T, manifests []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), devtest.Program(t, "strict"))
	cmd.Stdin = bytes.NewReader(manifests)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// A value that would do nothing, or harm, fails the installation and is named.
func TestChartRefusesValues(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "helm")
	for _, c := range []struct{ name, set, says string }{
		{"misspelt", "replicaCount=3", "replicaCount"},
		{"misspelt in a process", "processes.api.replica=3", "replica"},
		{"setting that does not exist", "settings.SCHOOLBELL_KAFKA_BROKER=kafka", "SCHOOLBELL_KAFKA_BROKER"},
		{"setting of a process that does not exist", "processes.api.settings.SCHOOLBELL_API_READ=3", "SCHOOLBELL_API_READ"},
		{"setting that the chart makes", "settings.SCHOOLBELL_ROLES=all", "SCHOOLBELL_ROLES"},
		{"secret in the open", "settings.SCHOOLBELL_JWT_SECRET=hush", "SCHOOLBELL_JWT_SECRET"},
		{"secret of a process in the open", "processes.api.settings.SCHOOLBELL_SMS_TOKEN=hush", "SCHOOLBELL_SMS_TOKEN"},
		{"text for a secret", "secrets.SCHOOLBELL_JWT_SECRET=hush", "SCHOOLBELL_JWT_SECRET"},
		{"secret without a key", "secrets.SCHOOLBELL_JWT_SECRET.secret=keys", "key"},
		{"no secret", "secrets.SCHOOLBELL_LOG_LEVEL.secret=keys,secrets.SCHOOLBELL_LOG_LEVEL.key=k", "SCHOOLBELL_LOG_LEVEL"},
		{"role that does not exist", "processes.api.roles={queries}", "roles"},
		{"lag of what reads no group", "processes.api.lag.min=1,processes.api.lag.max=2,processes.api.lag.records=9", "roles"},
		{"scaled twice", "processes.projections.cpu.min=1,processes.projections.cpu.max=2,processes.projections.cpu.percent=50," +
			"processes.projections.lag.min=1,processes.projections.lag.max=2,processes.projections.lag.records=9", "projections"},
		{"lag without brokers", "processes.projections.lag.min=1,processes.projections.lag.max=2,processes.projections.lag.records=9", "keda.bootstrapServers"},
		{"digest that is none", "image.digest=latest", "digest"},
		{"address without a host", "ingress.enabled=true", "ingress.host"},
		{"route to nowhere", "gateway.enabled=true", "parents"},
		{"peer of nobody", "networkPolicy.operations[0].namespace=monitoring", "operations"},
		{"stop before clients are gone", "graceSeconds=5", "graceSeconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems, err := helm(t, "template", "schoolbell", chart, "--set="+c.set)
			require.Error(t, err)
			require.Contains(t, problems, c.says)
		})
	}
}

// The rules that the chart installs are those of deploy/prometheus, whose tests are next to them.
func TestChartHasTheRules(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "helm", "promtool")
	rendered := render(t, "--values="+valuesOf("medium"), "--show-only=templates/monitoring.yaml")
	_, rule, found := strings.Cut(string(rendered), "kind: PrometheusRule\n")
	require.True(t, found)
	rule, _, _ = strings.Cut(rule, "\n---")
	_, spec, found := strings.Cut(rule, "\nspec:\n")
	require.True(t, found)
	dir := t.TempDir()
	tests, err := os.ReadFile("prometheus/alerts_test.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts_test.yml"), tests, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.yml"), []byte(unindent(spec)), 0o600))
	cmd := exec.CommandContext(t.Context(), devtest.Program(t, "promtool"), "test", "rules", "alerts_test.yml")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func unindent(s string) string {
	return strings.ReplaceAll("\n"+strings.TrimRight(s, "\n"), "\n  ", "\n") + "\n"
}
