package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// fleet is where the two processes of each kind are, by the names of deploy/haproxy. All have the
// ports of the shipped files, so each has an address of its own.
type fleet map[string][2]string

var hosts atomic.Int32

// freeHost returns an address of this machine that no other test uses.
func freeHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 100+pid/250%100, pid%250, hosts.Add(1))
}

func hostOf(address string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "http://"), ":")
	return host
}

// startHAProxy runs HAProxy with the shipped file, and returns its URL.
func startHAProxy(t *testing.T, f fleet) string {
	t.Helper()
	at := freeAddress(t)
	cmd := exec.Command(devtest.Program(t, "haproxy"), "-db", "-f", "../../deploy/haproxy/haproxy.cfg")
	cmd.Env = append(os.Environ(), "BIND_ADDRESS="+at)
	for kind, hosts := range f {
		cmd.Env = append(cmd.Env, kind+"_1="+hosts[0], kind+"_2="+hosts[1])
	}
	return startBalancer(t, cmd, at)
}

// startNginx runs nginx with the shipped files, in which names have become addresses.
func startNginx(t *testing.T, f fleet) string {
	t.Helper()
	at, dir := freeAddress(t), t.TempDir()
	var addresses []string
	for kind, hosts := range f {
		for i, host := range hosts {
			addresses = append(addresses, fmt.Sprintf("%s-%d:", strings.ToLower(kind), i+1), host+":")
		}
	}
	shipped := func(name string) string {
		b, err := os.ReadFile("../../deploy/nginx/" + name)
		require.NoError(t, err)
		return string(b)
	}
	for name, text := range map[string]string{
		"schoolbell.conf": shipped("schoolbell.conf"),
		"upstreams.conf":  strings.NewReplacer(addresses...).Replace(shipped("upstreams.conf")),
		"listen.conf":     "listen " + at + ";\n",
		"nginx.conf": `daemon off; pid nginx.pid; error_log stderr crit;
			events { worker_connections 4096; }
			http {
				access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
				uwsgi_temp_path uwsgi; scgi_temp_path scgi;
				include schoolbell.conf;
			}`,
	} {
		if os.Getuid() == 0 && name == "nginx.conf" {
			text = "user root;\n" + text // its workers write to this folder
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return startBalancer(t, exec.Command(devtest.Program(t, "nginx"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"), at)
}

func startBalancer(t *testing.T, cmd *exec.Cmd, at string) string {
	t.Helper()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
		return err == nil && conn.Close() == nil
	}, 10*time.Second, 10*time.Millisecond, "the balancer does not listen")
	return "http://" + at
}

// load is what clients do all the time, and what went wrong.
type load struct {
	sent   atomic.Int64
	mu     sync.Mutex
	faults []string
}

// run sends one request after the other until ctx ends. A request that is refused because there
// are too many is no fault.
func (l *load) run(ctx context.Context, token, method, url string, want int, body func(n int) string) {
	client := &http.Client{Transport: new(http.Transport), Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		r, err := http.NewRequest(method, url, strings.NewReader(body(n)))
		if err != nil {
			l.fault(err.Error())
			return
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/cloudevents+json")
		l.sent.Add(1)
		resp, err := client.Do(r)
		if err != nil {
			l.fault(err.Error())
			continue
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want && resp.StatusCode != http.StatusTooManyRequests {
			l.fault(fmt.Sprintf("%s %s: %s, %v: %.200s", method, url, resp.Status, err, b))
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *load) fault(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, time.Now().Format("05.000 ")+text)
}

// Behind HAProxy and nginx with the shipped files, processes are restarted one after the other, and
// then one of each kind is killed: no request fails, and live clients miss nothing. What no balancer
// may send twice is left out while processes are killed.
func TestRestartsBehindBalancersLoseNothing(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "haproxy", "nginx")
	a := startApp(t, nil)
	places := fleet{}
	var nodes []*liveNode
	for _, kind := range []struct{ name, roles string }{
		{"INTAKE", "ingest,api"}, {"API", "api"}, {"REALTIME", "realtime"},
	} {
		var of [2]string
		for i := range of {
			of[i] = freeHost()
			nodes = append(nodes, startNode(t, a, "--roles="+kind.roles, "--http="+of[i]+":8080", "--ops="+of[i]+":9090",
				"--drain-delay=4s", "--api-trusted-proxies=127.0.0.1/32", "--realtime-per-user=1000"))
		}
		places[kind.name] = of
	}
	fronts := map[string]string{"HAProxy": startHAProxy(t, places), "nginx": startNginx(t, places)}

	during, end := context.WithCancel(t.Context())
	defer end()
	gentle, rough := context.WithCancel(during)
	defer rough()
	loads, swarms := map[string]*load{}, map[string][]*swarm.Client{}
	all := liveSwarm(t, a, "", 80)
	var running sync.WaitGroup
	for name, front := range fronts {
		swarms[name], all = all[:40], all[40:]
		for _, c := range swarms[name] {
			c.URL = front
		}
		connect(t, swarms[name]...)
		requireJoined(t, swarms[name])
		l := new(load)
		loads[name] = l
		none := func(int) string { return "" }
		running.Go(func() { l.run(during, a.token, http.MethodGet, front+attendancePath, http.StatusOK, none) })
		running.Go(func() {
			l.run(gentle, bearer(t, "north", "boss", "admin", time.Hour), http.MethodPost,
				front+"/v1/schools/north/inbox/read", http.StatusNoContent, none)
		})
		running.Go(func() {
			l.run(during, a.token, http.MethodPost, front+"/v1/schools/north/events", http.StatusAccepted, func(n int) string {
				b, err := json.Marshal(notice("north", name+fmt.Sprint(n), liveClass(n)))
				if err != nil {
					l.fault(err.Error())
				}
				return string(b)
			})
		})
	}
	for _, n := range nodes {
		require.NoError(t, n.restart(t.Context()))
	}
	rough()
	for i := 0; i < len(nodes); i += 2 {
		nodes[i].kill()
		require.NoError(t, nodes[i].start(t.Context()))
	}
	end()
	running.Wait()

	for i := range liveClasses {
		a.publish(t, "north", notice("north", "last"+fmt.Sprint(i), liveClass(i)))
	}
	for name, clients := range swarms {
		l := loads[name]
		if len(l.faults) > 0 { // the other balancer is told about too
			t.Errorf("%s: %d of %d requests failed: %s", name, len(l.faults), l.sent.Load(), strings.Join(l.faults, "\n"))
		}
		log := a.logOf(t, "north", clients[0].From)
		events := 0
		for i, c := range clients {
			want := log[strings.TrimPrefix(c.Room, "class:")]
			requireReceives(t, c, want[len(want)-1])
			state := c.State()
			require.Empty(t, state.Lost, "%s, client %d, %s", name, i, c.Kind)
			require.Equal(t, want, state.Offsets, "%s, client %d, %s", name, i, c.Kind)
			events += len(want)
		}
		t.Logf("%s: %d requests, %d failed; %d clients received %d events, none missed or twice", name,
			l.sent.Load(), len(l.faults), len(clients), events)
	}
}
