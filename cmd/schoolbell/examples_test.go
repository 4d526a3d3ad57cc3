package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// openPages opens the pages in Chromium, fills in their forms, and prints what they show. The libraries
// come from the packages of the test, and have to be those whose digests the pages name.
const openPages = `
import { chromium } from 'playwright-core';
import { fileURLToPath } from 'node:url';

const [pages, server, token, ...names] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const context = await browser.newContext();
await context.route('https://cdn.jsdelivr.net/npm/**', (route) => route.fulfill({
	path: fileURLToPath(new URL(
		new URL(route.request().url()).pathname.replace('/npm/', './node_modules/').replace(/@[\d.]+/, ''),
		import.meta.url)),
	headers: { 'access-control-allow-origin': '*', 'content-type': 'text/javascript' },
}));
for (const name of names) {
	const page = await context.newPage();
	page.on('pageerror', (error) => console.error(name, error));
	page.on('console', (message) => console.error(name, message.text()));
	await page.exposeFunction('shown', (position) => console.log(name, position));
	await page.goto(pages + '/' + name + '.html');
	await page.evaluate(() => new MutationObserver((changes) => {
		for (const change of changes) for (const item of change.addedNodes) shown(item.dataset.position);
	}).observe(document.querySelector('ol'), { childList: true }));
	// Not by keys and clicks, which a page in the background may not draw.
	await page.evaluate((values) => {
		for (const [field, value] of Object.entries(values)) document.forms[0][field].value = value;
		document.querySelector('button').click();
	}, { server, school: 'north', token, room: 'class:7a' });
	await page.waitForFunction(() => document.querySelector('[role=status]').textContent.startsWith('listening'),
		undefined, { polling: 100 });
	console.log(name, 'ready');
}
process.stdin.resume().on('end', () => browser.close());
`

func TestP6_TheExamplePagesMissNothing(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm", "chromium")
	pages := httptest.NewServer(http.FileServer(http.Dir("../../deploy/examples")))
	t.Cleanup(pages.Close)
	a := startApp(t, func(c *config.Config) { c.API.Origins = []string{pages.URL} })
	front := startCable(t, a.HTTP)
	names := []string{"eventsource", "socketio", "centrifuge"}
	browser := realtimetest.JavaScript(t, openPages, append([]string{
		pages.URL, front.url, bearer(t, "north", "head", "admin", time.Hour),
	}, names...)...)
	shown := map[string][]string{}
	until := func(done func() bool) {
		t.Helper()
		deadline := time.After(2 * time.Minute)
		for !done() {
			select {
			case line, ok := <-browser.Lines():
				require.True(t, ok, "the browser has ended; the pages have shown %v", shown)
				name, what, _ := strings.Cut(line, " ")
				shown[name] = append(shown[name], what)
			case <-deadline:
				require.FailNow(t, "gave up waiting", "the pages have shown %v", shown)
			}
		}
	}
	want := []string{"ready"}
	all := func() bool {
		for _, name := range names {
			if len(shown[name]) < len(want) {
				return false
			}
		}
		return true
	}
	publish := func(count int) {
		t.Helper()
		for range count {
			id := fmt.Sprint("n", len(want))
			want = append(want, a.publish(t, "north", notice("north", id, "7a")))
		}
	}
	until(all)
	// Also before the first event, when the pages have heard nothing but that they are connected.
	for range 3 {
		front.cut(func() { publish(3) })
		until(all)
		publish(2)
		until(all)
	}
	for _, name := range names {
		require.Equal(t, want, shown[name], name)
	}
}

// cable is a connection to a server that can be cut.
type cable struct {
	url    string
	target string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func startCable(t *testing.T, server string) *cable {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{url: "http://" + listener.Addr().String(), target: u.Host}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut(func() {})
		running.Wait()
	})
	return c
}

// carry passes on what a client and the server say, until either ends or the cable is cut.
func (c *cable) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	c.mu.Lock()
	down := c.down
	c.conns = append(c.conns, client, server)
	c.mu.Unlock()
	if down {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	_, _ = io.Copy(server, client)
	_ = server.Close()
	<-back
}

// cut cuts the cable while something happens.
func (c *cable) cut(while func()) {
	c.mu.Lock()
	c.down = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	while()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}
