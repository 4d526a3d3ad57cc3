package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func makeSecrets(t *testing.T, dir string) {
	t.Helper()
	script, err := os.ReadFile("secrets.sh")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets.sh"), script, 0o600))
	out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, "secrets.sh")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func secretsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(filepath.Join(dir, "secrets"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, "secrets", f.Name()))
		require.NoError(t, err)
		all[f.Name()] = strings.TrimSuffix(string(b), "\n")
	}
	return all
}

func TestSecretsOfTheCompositionAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	makeSecrets(t, dir)
	first := secretsIn(t, dir)
	for _, name := range []string{"jwt-secret", "link-key", "postgres-password"} {
		require.Regexp(t, `^[0-9a-f]{64}$`, first[name])
	}
	require.Equal(t, "postgres://schoolbell:"+first["postgres-password"]+"@postgres:5432/schoolbell", first["database-url"])
	folder, err := os.Stat(filepath.Join(dir, "secrets"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), folder.Mode().Perm())

	makeSecrets(t, dir)
	require.Equal(t, first, secretsIn(t, dir))
	makeSecrets(t, other)
	require.NotEqual(t, first["jwt-secret"], secretsIn(t, other)["jwt-secret"])

	// The composition mounts these files and no others.
	text, err := os.ReadFile("compose.yaml")
	require.NoError(t, err)
	var mounted []string
	for _, m := range regexp.MustCompile(`file: \./secrets/([a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
		mounted = append(mounted, m[1])
	}
	var made []string
	for name := range first {
		made = append(made, name)
	}
	require.ElementsMatch(t, mounted, made)
}

func TestSecretsOfAnEarlierInstallationGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte(
		"SCHOOLBELL_JWT_SECRET=earlier\nSCHOOLBELL_DOCUMENTS_LINK_KEY=link\n"), 0o600))
	makeSecrets(t, dir)
	require.Equal(t, map[string]string{
		"jwt-secret": "earlier", "link-key": "link", "postgres-password": "schoolbell",
		"database-url": "postgres://schoolbell:schoolbell@postgres:5432/schoolbell",
	}, secretsIn(t, dir))
}
