package program

import (
	"runtime"
	"runtime/debug"
)

// Version is the release that this source is, or will be next. CHANGELOG.md begins with it, but for what is unreleased.
const Version = "v0.1.0"

// Build identifies the program that runs.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// revision is what the linker was given (-X) where the source is in no repository, as in the image.
var revision = "unknown"

// ThisBuild returns the identity of this binary. The revision is "unknown" when it was built
// outside a repository, and without being told.
func ThisBuild() Build {
	b := Build{
		Version: Version, Revision: revision,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
