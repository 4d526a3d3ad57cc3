package faulty

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers/plan/segment"
)

// SMSConfig configures an SMS service.
type SMSConfig struct {
	Account, Token string
	Seed           uint64
	Faults         Faults
	RetryAfter     time.Duration // the delay that Busy demands, in whole seconds; 0 demands none
	// Late is after what time a request with the fault of that name is accepted.
	Late time.Duration
	// Price of each message, as "-0.00750". As with the real service, the response to a request has
	// none: only reading the message does. Empty: none at all.
	Price string
	// Numbers writes numbers where the real service has texts.
	Numbers bool
	// IdempotencyHeader makes a message with a key that was seen before the same message.
	IdempotencyHeader string

	Receipts  bool    // status callbacks are made: "sent" and "delivered"
	Undeliver float64 // the share of messages that end undelivered
	Twice     float64 // the share of callbacks that are made twice
	Reorder   float64 // the share of messages with callbacks in the wrong order
	Forge     float64 // the share of messages with a callback of a forger as well
	Sign      func(token, address string, form url.Values) string
}

// SMS is an SMS service that speaks Twilio's interface.
type SMS struct {
	service
	config SMSConfig
	calls  sync.WaitGroup
	late   sync.WaitGroup // requests that are accepted late
	slots  chan struct{}  // limits concurrent callbacks
	client http.Client

	mu       sync.Mutex // guards what follows
	messages []*Text
	byKey    map[string]*Text
	requests int
	reads    int
	faults   map[Fault]int
	callback map[int]int // responses to callbacks, by status
	forged   map[int]int // responses to forged ones
	retryAt  map[string]time.Time
	early    int
}

// Text is a message that the service has accepted.
type Text struct {
	SID      string
	From, To string
	Body     string
	Delivery string // from the callback address, or the idempotency key
	Status   string
	Segments int
}

// NewSMS starts a service. Close must be called.
func NewSMS(c SMSConfig) *SMS {
	s := &SMS{
		config: c, slots: make(chan struct{}, maxCalls), byKey: map[string]*Text{},
		faults: map[Fault]int{}, callback: map[int]int{}, forged: map[int]int{},
		retryAt: map[string]time.Time{},
		client: http.Client{
			Timeout: 10 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone(),
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2010-04-01/Accounts/{account}/Messages.json", s.post)
	mux.HandleFunc("GET /2010-04-01/Accounts/{account}/Messages.json", s.list)
	mux.HandleFunc("GET /2010-04-01/Accounts/{account}/Messages/{message}", s.read)
	s.service = newService(c.Seed, c.Faults, mux)
	return s
}

// Close makes the callbacks that are due, and stops.
func (s *SMS) Close() {
	s.calls.Wait()
	s.client.CloseIdleConnections()
	s.close()
}

// Settle waits until all requests so far are accepted or not, and all callbacks have been made.
func (s *SMS) Settle() {
	s.late.Wait()
	s.calls.Wait()
}

// Messages returns the accepted messages, in order.
func (s *SMS) Messages() []Text {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Text, 0, len(s.messages))
	for _, m := range s.messages {
		list = append(list, *m)
	}
	return list
}

// ByDelivery counts the messages of each delivery. More than 1 is a duplicate that a family has
// read.
func (s *SMS) ByDelivery() map[string]int {
	counts := map[string]int{}
	for _, m := range s.Messages() {
		counts[m.Delivery]++
	}
	return counts
}

// Tally counts what has happened so far.
type Tally struct {
	Requests  int           // to send a message
	Reads     int           // of a message by its id
	Taken     int           // accepted messages
	Faults    map[Fault]int // requests with each fault
	Early     int           // requests before the time that Retry-After gave
	Callbacks map[int]int   // responses to callbacks, by status
	Forged    map[int]int   // responses to forged ones
}

// Tally returns the counts.
func (s *SMS) Tally() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Tally{
		Requests: s.requests, Reads: s.reads, Taken: len(s.messages), Early: s.early,
		Faults: maps.Clone(s.faults), Callbacks: maps.Clone(s.callback),
		Forged: maps.Clone(s.forged),
	}
	return t
}

func (s *SMS) authorize(w http.ResponseWriter, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if ok && user == s.config.Account && password == s.config.Token &&
		r.PathValue("account") == user {
		return true
	}
	respond(w, http.StatusUnauthorized,
		map[string]any{"code": 20003, "message": "Authenticate", "status": 401})
	return false
}

// post accepts a message. Callbacks start even when the response is then withheld, as with the real
// service.
func (s *SMS) post(w http.ResponseWriter, r *http.Request) {
	if !s.authorize(w, r) {
		return
	}
	if err := r.ParseForm(); err != nil || r.PostForm.Get("To") == "" ||
		r.PostForm.Get("Body") == "" {
		respond(w, http.StatusBadRequest,
			map[string]any{"code": 21602, "message": "Message body is required.", "status": 400})
		return
	}
	key, delivery := s.keyOf(r)
	fault := s.dice.fault()
	s.count(delivery, fault)
	if fault == Late && !s.wait() {
		return
	}
	text, again := s.take(r.PostForm, key, delivery, fault)
	if text != nil && !again && s.config.Receipts {
		s.report(text, r.PostForm.Get("StatusCallback"))
	}
	if s.interrupt(r, fault) {
		return
	}
	switch fault {
	case None, Late:
		respond(w, http.StatusCreated, s.snapshot(text).json(s.config.Numbers, ""))
	case Garbled:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "<html>")
	case Empty:
		w.WriteHeader(http.StatusOK)
	case Portal:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>Account suspended</html>")
	case ErrorBody:
		respond(w, http.StatusOK, map[string]any{
			"code": 21211, "message": "The 'To' number is not a valid phone number.", "status": 400,
		})
	case Busy:
		if s.config.RetryAfter > 0 {
			demand(w, s.config.RetryAfter)
		}
		respond(w, http.StatusTooManyRequests,
			map[string]any{"code": 20429, "message": "Too Many Requests", "status": 429})
	case Broken, BrokenTaken:
		respond(w, http.StatusInternalServerError,
			map[string]any{"code": 20500, "message": "Internal Server Error", "status": 500})
	case Refuse:
		respond(w, http.StatusBadRequest,
			map[string]any{
				"code": 21211, "message": "The 'To' number is not a valid phone number.",
				"status": 400,
			})
	}
}

// keyOf returns the idempotency key of a message, and its delivery.
func (s *SMS) keyOf(r *http.Request) (key, delivery string) {
	if s.config.IdempotencyHeader != "" {
		key = r.Header.Get(s.config.IdempotencyHeader)
		delivery = key
	}
	if u, err := url.Parse(r.PostForm.Get("StatusCallback")); err == nil &&
		u.Query().Get("delivery") != "" {
		delivery = u.Query().Get("delivery")
	}
	return key, delivery
}

// count counts a request, and whether it came before the time that was demanded.
func (s *SMS) count(delivery string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.faults[fault]++
	if at, set := s.retryAt[delivery]; set && time.Now().Before(at) {
		s.early++
	}
	delete(s.retryAt, delivery)
	if fault == Busy && s.config.RetryAfter > 0 {
		s.retryAt[delivery] = time.Now().Add(s.config.RetryAfter)
	}
}

// take accepts a message, unless the fault comes first.
func (s *SMS) take(form url.Values, key, delivery string, fault Fault) (text *Text, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !fault.accepts() {
		return nil, false
	}
	if key != "" && s.byKey[key] != nil {
		return s.byKey[key], true
	}
	text = &Text{
		SID: fmt.Sprintf("SM%032x", len(s.messages)+1), From: form.Get("From"), To: form.Get("To"),
		Body:     form.Get("Body"),
		Delivery: delivery, Status: "queued", Segments: segment.Of(form.Get("Body")).Segments,
	}
	s.messages = append(s.messages, text)
	if key != "" {
		s.byKey[key] = text
	}
	return text, false
}

// wait takes the time that the service needs for a request that it accepts late. It is not over
// when the service is closed before.
func (s *SMS) wait() (over bool) {
	s.late.Add(1)
	defer s.late.Done()
	late := time.NewTimer(s.config.Late)
	defer late.Stop()
	select {
	case <-late.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (t Text) json(numbers bool, price string) map[string]any {
	m := map[string]any{
		"sid": t.SID, "status": t.Status, "to": t.To, "from": t.From, "body": t.Body,
		"num_segments": strconv.Itoa(t.Segments), "price": nil, "error_code": nil,
		"error_message": nil,
	}
	if price != "" {
		m["price"] = price
	}
	if numbers {
		m["num_segments"] = t.Segments
		if price != "" {
			m["price"] = jsontext.Value(price)
		}
	}
	return m
}

// read returns a message by its id, with its price.
func (s *SMS) read(w http.ResponseWriter, r *http.Request) {
	if !s.authorize(w, r) {
		return
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.messages, func(t *Text) bool {
		return t.SID+".json" == r.PathValue("message")
	})
	var body any
	if i >= 0 {
		body = s.messages[i].json(s.config.Numbers, s.config.Price)
	}
	s.reads++
	s.mu.Unlock()
	if body == nil {
		respond(w, http.StatusNotFound, map[string]any{"code": 20404, "status": 404})
		return
	}
	respond(w, http.StatusOK, body)
}

// list searches messages by number, the newest first, in pages.
func (s *SMS) list(w http.ResponseWriter, r *http.Request) {
	if !s.authorize(w, r) {
		return
	}
	size, err := strconv.Atoi(r.URL.Query().Get("PageSize"))
	if err != nil {
		size = 50
	}
	s.mu.Lock()
	page := []any{}
	more := false
	for _, v := range slices.Backward(s.messages) { // the newest first
		if m := v; m.To == r.URL.Query().Get("To") {
			if more = len(page) == size; more {
				break
			}
			page = append(page, m.json(s.config.Numbers, ""))
		}
	}
	s.mu.Unlock()
	body := map[string]any{"messages": page, "next_page_uri": nil}
	if more {
		body["next_page_uri"] = "/2010-04-01/Accounts/" + s.config.Account + "/Messages.json?Page=1"
	}
	respond(w, http.StatusOK, body)
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, body) // the client may be gone
}

// snapshot copies a message, whose status a callback may be changing.
func (s *SMS) snapshot(t *Text) Text {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *t
}
