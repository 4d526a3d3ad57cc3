// Package realkafka runs a real Apache Kafka for tests, from its own jars: one broker in KRaft mode
// that is its own controller. What the stand-in kfake accepts and Kafka does not, only this finds.
//
// It needs Java and, the first time, Maven. Tests that use it belong to the tier of devtest.Real.
package realkafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// patience bounds the start of a broker and, once, the download of its jars.
const patience = 5 * time.Minute

// Broker is a running Kafka.
type Broker struct {
	installation
	dir     string
	address string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start runs a broker until the test ends, with its data in a directory of the test, which must
// have called devtest.Real.
func Start(tb testing.TB) *Broker {
	tb.Helper()
	devtest.RequireReal(tb)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	inst, err := install(ctx)
	if err != nil {
		tb.Fatalf("no real Kafka: %v", err)
	}
	b := &Broker{installation: inst, dir: tb.TempDir()}
	if err := b.format(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := b.run(ctx); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("end of the broker's log:\n%s", b.logTail())
		}
		b.Kill()
	})
	return b
}

// Addresses are what clients connect to.
func (b *Broker) Addresses() []string { return []string{b.address} }

// Kill ends the broker at once, as a crash does.
func (b *Broker) Kill() { b.signal(syscall.SIGKILL, true) }

// Pause makes the broker silent: it keeps its connections and does nothing, until Resume.
func (b *Broker) Pause() {
	b.signal(syscall.SIGSTOP, false)
	// The signal is delivered a little later, and a request may still be served until then.
	stat := fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid)
	for range time.Tick(time.Millisecond) {
		s, err := os.ReadFile(stat)
		_, state, _ := bytes.Cut(s, []byte(") "))
		if err != nil || bytes.HasPrefix(state, []byte("T")) {
			return // stopped, or not to be seen here
		}
	}
}

// Resume ends a Pause.
func (b *Broker) Resume() { b.signal(syscall.SIGCONT, false) }

func (b *Broker) signal(s syscall.Signal, wait bool) {
	_ = b.cmd.Process.Signal(s) // it may be gone already
	if wait {
		<-b.exited
	}
}

// Restart runs a broker that was killed again, at its address and with its data.
func (b *Broker) Restart(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.run(ctx); err != nil {
		tb.Fatal(err)
	}
}

// format writes the configuration and prepares the data directory.
func (b *Broker) format(ctx context.Context) error {
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return fmt.Errorf("find ports for kafka: %w", err)
	}
	broker, controller := ports[0], ports[1]
	b.address = broker
	properties := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  "1",
		"controller.quorum.voters":                 "1@" + controller,
		"controller.listener.names":                "CONTROLLER",
		"listeners":                                "PLAINTEXT://" + broker + ",CONTROLLER://" + controller,
		"advertised.listeners":                     "PLAINTEXT://" + broker,
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":               "PLAINTEXT",
		"log.dirs":                                 filepath.Join(b.dir, "data"),
		"auto.create.topics.enable":                "false",
		"offsets.topic.num.partitions":             "1",
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",
		"broker.session.timeout.ms":                "1000", // or a killed broker is waited for before its successor may lead
		"broker.heartbeat.interval.ms":             "100",
		"log.cleaner.dedupe.buffer.size":           "4194304",
		"log.index.size.max.bytes":                 "1048576", // each partition's is allocated at once
	}
	var text strings.Builder
	for name, value := range properties {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	if err := os.WriteFile(b.properties(), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("configure kafka: %w", err)
	}
	out, err := b.command(
		ctx, "kafka.tools.StorageTool", "format", "-t", "c2Nob29sYmVsbC10ZXN0cw", "-c",
		b.properties(),
	).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format kafka's storage: %w: %s", err, lastLines(string(out), 5))
	}
	return nil
}

func (b *Broker) properties() string { return filepath.Join(b.dir, "server.properties") }
func (b *Broker) log() string        { return filepath.Join(b.dir, "broker.log") }

func (b *Broker) command(ctx context.Context, class string, args ...string) *exec.Cmd {
	options := []string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.jars, "*"), class,
	}
	return exec.CommandContext(ctx, b.java, append(options, args...)...)
}

// Java is a Java program, a class or a source file, with Kafka's own clients on its class path.
func (b *Broker) Java(ctx context.Context, program string, args ...string) *exec.Cmd {
	return b.command(ctx, program, args...)
}

// run starts the broker and waits until it takes connections, which it does once it may lead
// partitions.
func (b *Broker) run(ctx context.Context) error {
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	defer log.Close()
	b.cmd = b.command(context.WithoutCancel(ctx), "kafka.Kafka", b.properties())
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = endWithParent()
	b.exited = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so that thread stays.
		runtime.LockOSThread()
		defer close(b.exited)
		err := b.cmd.Start()
		started <- err
		if err == nil {
			_ = b.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	for {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", b.address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-b.exited:
			return fmt.Errorf("start kafka: it ended: %s", b.logTail())
		case <-ctx.Done():
			return fmt.Errorf("start kafka: %w: %s", errors.Join(ctx.Err(), err), b.logTail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *Broker) logTail() string {
	text, err := os.ReadFile(b.log())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 30)
}

// freePorts returns addresses that nothing listens on at the moment.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
