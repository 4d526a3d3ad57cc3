package program

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version is set by the Makefile; a build by `go install` takes it from the module.
var version string

// Build identifies the program that runs.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ThisBuild returns the identity of this binary. The revision is "unknown" when it was built
// outside a repository.
func ThisBuild() Build {
	b := Build{
		Version: version, Revision: "unknown",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(b.Version, info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
