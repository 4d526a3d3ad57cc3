package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

const version = "schoolbell"

// commandTimeout bounds the time of one command.
const commandTimeout = 10 * time.Second

// execute executes a command. An error ends the connection, after the reply if there is one.
func (c *conn) execute(cmd *command) (*reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	switch {
	case cmd.ID == 0 && (cmd.Send != nil || c.session != nil && cmd.Connect == nil):
		return nil, nil // a pong, or a message without a reply
	case (c.session == nil) != (cmd.Connect != nil) || cmd.ID == 0:
		return nil, realtime.CloseBadRequest
	}
	r := &reply{ID: cmd.ID}
	err := c.dispatch(ctx, cmd, r)
	if err == nil {
		return r, nil
	}
	var refused *protocolError
	if !errors.As(err, &refused) {
		return nil, err
	}
	return &reply{ID: cmd.ID, Error: refused}, nil
}

func (c *conn) dispatch(ctx context.Context, cmd *command, r *reply) (err error) {
	switch {
	case cmd.Connect != nil:
		r.Connect, err = c.connect(ctx, cmd.Connect)
	case cmd.Subscribe != nil:
		r.Subscribe, err = c.subscribe(ctx, cmd.Subscribe)
	case cmd.Unsubscribe != nil:
		r.Unsubscribe, err = &struct{}{}, c.unsubscribe(cmd.Unsubscribe)
	case cmd.Presence != nil:
		r.Presence, err = c.presence(ctx, cmd.Presence)
	case cmd.PresenceStats != nil:
		r.PresenceStats, err = c.presenceStats(ctx, cmd.PresenceStats)
	case cmd.History != nil:
		r.History, err = c.history(ctx, cmd.History)
	case cmd.Ping != nil:
		r.Ping = &struct{}{}
	case cmd.RPC != nil:
		r.RPC, err = c.rpc(ctx, cmd.RPC)
	case cmd.Refresh != nil:
		r.Refresh, err = c.refresh(ctx, cmd.Refresh)
	case cmd.SubRefresh != nil:
		r.SubRefresh, err = c.subRefresh(ctx, cmd.SubRefresh)
	case cmd.Publish != nil:
		err = errNotAvailable // events come from the log only
	default:
		err = errMethodNotFound
	}
	return err
}

func (c *conn) connect(ctx context.Context, req *connectRequest) (*connectResult, error) {
	identity := c.identity // of the request's header, which browsers cannot set on a WebSocket
	if req.Token != "" {
		var err error
		if identity, err = c.verify(ctx, req.Token); errors.Is(err, realtime.ErrExpired) {
			return nil, errTokenExpired
		} else if err != nil {
			return nil, err
		}
	}
	if identity.Subject == "" {
		return nil, realtime.CloseInvalidToken
	}
	var data struct {
		School string `json:"school"`
	}
	if len(req.Data) > 0 {
		_ = json.Unmarshal(req.Data, &data) // other data belongs to the app
	}
	session, err := c.server.cfg.Hub.Open(ctx, identity,
		realtime.Options{School: data.School, Protocol: "centrifuge", PerRoom: true, Wake: c.write})
	switch {
	case errors.Is(err, realtime.ErrExpired):
		return nil, errTokenExpired
	case err != nil:
		return nil, err
	}
	c.session = session
	c.server.connected(c)
	res := &connectResult{
		Client: session.ID(), Version: version,
		Data: connectData{session.Position(), c.epoch()},
		Subs: map[string]subscribeResult{},
		Ping: uint32(max(1, c.server.cfg.PingInterval.Seconds())), Pong: true,
	}
	res.Expires, res.TTL = ttl(identity)
	if c.id != "" {
		res.Session, res.Node = c.id, c.server.node
	}
	for _, room := range session.Rooms() {
		name := room.String()
		sub := c.live(session.Position())
		if requested, ok := req.Subs[name]; ok && requested.Recover {
			if sub, err = c.resume(ctx, room, &requested); err != nil {
				return nil, err
			}
		}
		res.Subs[name] = *sub
	}
	return res, nil
}

// maxTicket is the length of the longest ticket. Tokens are longer, and have dots.
const maxTicket = 64

// verify returns the bearer of a token, or of a ticket in its place. One that has been used before
// counts as expired, so that the client gets another.
func (c *conn) verify(ctx context.Context, token string) (realtime.Identity, error) {
	access := c.server.cfg.Access
	identity, err := realtime.Identity{}, realtime.ErrInvalidToken // in a URL, as it ends up in logs
	if !c.inURL {
		identity, err = access.Verify(ctx, token)
	}
	if !errors.Is(err, realtime.ErrInvalidToken) || access.Redeem == nil || len(token) > maxTicket ||
		strings.Contains(token, ".") {
		return identity, err
	}
	identity, err = access.Redeem(ctx, token, realtime.TicketUse{})
	if errors.Is(err, realtime.ErrInvalidToken) {
		err = fmt.Errorf("%w: %w", realtime.ErrExpired, err)
	}
	return identity, err
}

// ttl returns the lifetime of a token in seconds, a little shortened so that the client refreshes
// it in time.
func ttl(identity realtime.Identity) (expires bool, seconds uint32) {
	if identity.Expires.IsZero() {
		return false, 0
	}
	left := time.Until(identity.Expires)
	return true, uint32(max(1, (left - min(left/2, 10*time.Second)).Seconds()))
}

// epoch is bound to the user, the school and the log: an offset that was received elsewhere means
// another position here, and must not be resumed from.
func (c *conn) epoch() string {
	return c.server.cfg.Hub.EpochFor(c.session.Identity().Subject, c.session.School())
}

// isOf reports whether an offset with this epoch belongs to the client's log. One that begins from the
// position of an API response has the log's name from there for an epoch, or none yet.
func (c *conn) isOf(epoch string) bool {
	return epoch == "" || epoch == c.epoch() || epoch == string(c.session.Position().Log)
}

// live returns the result of a subscription that begins at a position.
func (c *conn) live(at domain.LogPosition) *subscribeResult {
	return &subscribeResult{
		Recoverable: true, Positioned: true, Epoch: c.epoch(),
		Offset: wireOffset(at),
	}
}

func (c *conn) subscribe(ctx context.Context, req *subscribeRequest) (*subscribeResult, error) {
	room, err := domain.ParseRoom(req.Channel)
	if err != nil {
		return nil, errUnknownChannel
	}
	if c.in(room) {
		return nil, errAlreadySubscribed
	}
	// A dashboard's notices name only the newest position, so there are none to catch up with.
	if req.Recover && room.Kind != domain.RoomDashboard {
		return c.resume(ctx, room, req)
	}
	joined, err := c.session.Join(ctx, room, nil)
	if err != nil {
		return nil, refusal(err)
	}
	if room.Kind == domain.RoomDashboard {
		return &subscribeResult{}, nil
	}
	return c.live(joined.At), nil
}

func (c *conn) in(room domain.Room) bool { return slices.Contains(c.session.Rooms(), room) }

// resume joins a room from the client's position. If that cannot be served, it joins the room as of
// now and says so in the result, or refuses if the client requested that.
func (c *conn) resume(
	ctx context.Context, room domain.Room, req *subscribeRequest,
) (*subscribeResult, error) {
	var joined realtime.Joined
	err := realtime.ErrUnrecoverable
	if c.isOf(req.Epoch) {
		from := c.session.Position()
		from.Offset = offsetOf(req.Offset)
		joined, err = c.session.Join(ctx, room, &from)
	}
	if errors.Is(err, realtime.ErrUnrecoverable) {
		if req.Flag&rejectUnrecovered != 0 {
			return nil, errUnrecoverable
		}
		if joined, err = c.session.Join(ctx, room, nil); err != nil {
			return nil, refusal(err)
		}
		res := c.live(joined.At)
		res.WasRecovering = true
		return res, nil
	}
	if err != nil {
		return nil, refusal(err)
	}
	res := c.live(joined.At)
	res.WasRecovering, res.Recovered = true, true
	res.Publications = publications(joined.Missed)
	return res, nil
}

func publications(ds []realtime.Delivery) []publication {
	pubs := make([]publication, len(ds))
	for i := range ds {
		pubs[i] = publication{Data: ds[i].AppendJSON(nil), Offset: wireOffset(ds[i].Position)}
	}
	return pubs
}

// refusal returns the protocol's error for an error of the hub.
func refusal(err error) error {
	switch {
	case errors.Is(err, realtime.ErrDenied):
		return errPermissionDenied
	case errors.Is(err, realtime.ErrTooManyRooms):
		return errLimitExceeded
	case errors.Is(err, realtime.ErrUnrecoverable):
		return errUnrecoverable
	case errors.Is(err, realtime.ErrRightsUnavailable):
		return errRightsUnavailable
	case errors.Is(err, realtime.ErrExpired):
		return errTokenExpired
	case errors.Is(err, ErrUnknownMethod):
		return errMethodNotFound
	}
	if bad, ok := errors.AsType[BadRequest](err); ok {
		return &protocolError{codeBadRequest, bad.Error(), false}
	}
	if _, closes := errors.AsType[realtime.Close](err); closes {
		return err
	}
	return errInternal
}

func (c *conn) unsubscribe(req *channelRequest) error {
	room, err := domain.ParseRoom(req.Channel)
	if err != nil {
		return errUnknownChannel
	}
	c.session.Leave(room) // leaving twice is no error
	return nil
}

// members lists the members of a room, if the client is one of them: who is in a room is as private
// as its events.
func (c *conn) members(ctx context.Context, channel string) ([]realtime.Member, error) {
	room, err := domain.ParseRoom(channel)
	switch {
	case err != nil:
		return nil, errUnknownChannel
	case !c.in(room):
		return nil, errPermissionDenied
	}
	members, err := c.server.cfg.Hub.Presence(ctx, c.session.School(), room)
	if err != nil {
		return nil, errInternal
	}
	return members, nil
}

// presence names the members of a room to staff: families do not see who other families are, and
// presenceStats says how many there are.
func (c *conn) presence(ctx context.Context, req *channelRequest) (*presenceResult, error) {
	if identity := c.session.Identity(); !identity.Staff() {
		return nil, errPermissionDenied
	}
	members, err := c.members(ctx, req.Channel)
	if err != nil {
		return nil, err
	}
	res := &presenceResult{Presence: map[string]clientInfo{}}
	for _, m := range members {
		res.Presence[m.Session] = clientInfo{User: m.User, Client: m.Session}
	}
	return res, nil
}

func (c *conn) presenceStats(
	ctx context.Context, req *channelRequest,
) (*presenceStatsResult, error) {
	members, err := c.members(ctx, req.Channel)
	if err != nil {
		return nil, err
	}
	users := map[string]bool{}
	for _, m := range members {
		users[m.User] = true
	}
	return &presenceStatsResult{Clients: len(members), Users: len(users)}, nil
}

func (c *conn) history(ctx context.Context, req *historyRequest) (*historyResult, error) {
	room, err := domain.ParseRoom(req.Channel)
	if err != nil {
		return nil, errUnknownChannel
	}
	q := realtime.History{Limit: req.Limit, Reverse: req.Reverse}
	if req.Limit < 0 { // all, in this protocol; the session has a limit of its own
		q.Limit = 1 << 30
	}
	if req.Since != nil {
		if !c.isOf(req.Since.Epoch) {
			return nil, errUnrecoverable
		}
		after := c.session.Position()
		after.Offset = offsetOf(req.Since.Offset)
		q.After = &after
	}
	found, at, err := c.session.History(ctx, room, q)
	if err != nil {
		return nil, refusal(err)
	}
	return &historyResult{
		Publications: publications(found), Epoch: c.epoch(),
		Offset: wireOffset(at),
	}, nil
}

func (c *conn) rpc(ctx context.Context, req *rpcRequest) (*rpcResult, error) {
	if c.server.cfg.RPC == nil {
		return nil, errMethodNotFound
	}
	data, err := c.server.cfg.RPC(ctx, c.session.Identity(), c.session.School(), req.Method,
		req.Data)
	if err != nil {
		return nil, refusal(err)
	}
	return &rpcResult{data}, nil
}

func (c *conn) refresh(ctx context.Context, req *refreshRequest) (*refreshResult, error) {
	identity, err := c.verify(ctx, req.Token)
	if err == nil {
		err = c.session.Refresh(identity)
	}
	switch {
	case errors.Is(err, realtime.ErrExpired):
		return nil, errTokenExpired
	case errors.Is(err, realtime.ErrDenied): // a token of another user
		return nil, realtime.CloseInvalidToken
	case err != nil:
		return nil, err
	}
	res := &refreshResult{Client: c.session.ID(), Version: version}
	res.Expires, res.TTL = ttl(identity)
	return res, nil
}

// subRefresh checks the right to a room again. Subscriptions have no tokens of their own and do not
// expire.
func (c *conn) subRefresh(ctx context.Context, req *subRefreshRequest) (*subRefreshResult, error) {
	room, err := domain.ParseRoom(req.Channel)
	switch {
	case err != nil:
		return nil, errUnknownChannel
	case !c.in(room):
		return nil, errPermissionDenied
	}
	if _, err := c.session.Join(ctx, room, nil); err != nil {
		return nil, refusal(err)
	}
	return &subRefreshResult{}, nil
}
