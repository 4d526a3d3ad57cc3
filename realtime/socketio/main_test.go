package socketio_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(nodeDir); dir != "" {
		runNode(dir) // this process is a node that a test can kill
		return
	}
	goleak.VerifyTestMain(m)
}
