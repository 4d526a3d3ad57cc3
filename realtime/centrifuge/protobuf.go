package centrifuge

import (
	"slices"

	"github.com/centrifugal/protocol"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/schoolbell/schoolbell/realtime"
)

// protobufFormat is the protocol in protobuf, as the clients for Dart, Swift, Java and Kotlin speak it.
// Each message is preceded by its length. Data is JSON here, too.
type protobufFormat struct{}

// parse reads commands, one after the other.
func (protobufFormat) parse(message []byte, handle func(*command) error) error {
	for len(message) > 0 {
		body, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return realtime.CloseBadRequest
		}
		var cmd protocol.Command
		if cmd.UnmarshalVT(body) != nil {
			return realtime.CloseBadRequest
		}
		if err := handle(commandOf(&cmd)); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

func (protobufFormat) appendReply(dst []byte, r *reply) []byte {
	return appendDelimited(dst, replyOf(r))
}

func (protobufFormat) appendPush(dst []byte, p *push) []byte {
	out := &protocol.Push{Channel: p.channel}
	switch {
	case p.unsubscribe != nil:
		out.Unsubscribe = &protocol.Unsubscribe{
			Code: p.unsubscribe.code, Reason: p.unsubscribe.reason,
		}
	case p.disconnect != nil:
		out.Disconnect = &protocol.Disconnect{Code: p.disconnect.code, Reason: p.disconnect.reason}
	default:
		out.Pub = &protocol.Publication{Data: p.data, Offset: uint64(max(0, p.offset))}
	}
	return appendDelimited(dst, &protocol.Reply{Push: out})
}

// appendDelimited appends a message and its length before it.
func appendDelimited(dst []byte, r *protocol.Reply) []byte {
	size := r.SizeVT()
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = slices.Grow(dst, size)
	body := dst[len(dst) : len(dst)+size]
	if _, err := r.MarshalToSizedBufferVT(body); err != nil {
		panic(err) // it fails for no message of this protocol
	}
	return dst[:len(dst)+size]
}

// commandOf returns a command with the request that is set.
func commandOf(in *protocol.Command) *command {
	cmd := &command{ID: in.Id}
	switch {
	case in.Connect != nil:
		cmd.Connect = &connectRequest{
			Token: in.Connect.Token, Data: jsontext.Value(in.Connect.Data),
			Subs: map[string]subscribeRequest{},
		}
		for channel, sub := range in.Connect.Subs {
			if sub != nil {
				cmd.Connect.Subs[channel] = *subscriptionOf(sub)
			}
		}
	case in.Subscribe != nil:
		cmd.Subscribe = subscriptionOf(in.Subscribe)
	case in.Unsubscribe != nil:
		cmd.Unsubscribe = &channelRequest{in.Unsubscribe.Channel}
	case in.Presence != nil:
		cmd.Presence = &channelRequest{in.Presence.Channel}
	case in.PresenceStats != nil:
		cmd.PresenceStats = &channelRequest{in.PresenceStats.Channel}
	case in.History != nil:
		h := in.History
		cmd.History = &historyRequest{
			Channel: h.Channel, Limit: int(h.Limit), Reverse: h.Reverse,
		}
		if h.Since != nil {
			cmd.History.Since = &streamPosition{h.Since.Offset, h.Since.Epoch}
		}
	case in.Ping != nil:
		cmd.Ping = &struct{}{}
	case in.Rpc != nil:
		cmd.RPC = &rpcRequest{in.Rpc.Method, jsontext.Value(in.Rpc.Data)}
	case in.Refresh != nil:
		cmd.Refresh = &refreshRequest{in.Refresh.Token}
	case in.SubRefresh != nil:
		cmd.SubRefresh = &subRefreshRequest{in.SubRefresh.Channel, in.SubRefresh.Token}
	case in.Publish != nil:
		cmd.Publish = &struct{}{}
	case in.Send != nil:
		cmd.Send = &struct{}{}
	}
	return cmd
}

func subscriptionOf(in *protocol.SubscribeRequest) *subscribeRequest {
	return &subscribeRequest{
		Channel: in.Channel, Recover: in.Recover, Epoch: in.Epoch, Offset: in.Offset,
	}
}

// replyOf is the reverse of commandOf, for replies.
func replyOf(r *reply) *protocol.Reply {
	out := &protocol.Reply{Id: r.ID}
	switch {
	case r.Error != nil:
		out.Error = &protocol.Error{
			Code: r.Error.Code, Message: r.Error.Message, Temporary: r.Error.Temporary,
		}
	case r.Connect != nil:
		out.Connect = connectionOf(r.Connect)
	case r.Subscribe != nil:
		out.Subscribe = subscribedOf(r.Subscribe)
	case r.Unsubscribe != nil:
		out.Unsubscribe = &protocol.UnsubscribeResult{}
	case r.Presence != nil:
		out.Presence = &protocol.PresenceResult{Presence: map[string]*protocol.ClientInfo{}}
		for id, info := range r.Presence.Presence {
			out.Presence.Presence[id] = &protocol.ClientInfo{User: info.User, Client: info.Client}
		}
	case r.PresenceStats != nil:
		out.PresenceStats = &protocol.PresenceStatsResult{
			NumClients: uint32(r.PresenceStats.Clients), NumUsers: uint32(r.PresenceStats.Users),
		}
	case r.History != nil:
		out.History = &protocol.HistoryResult{
			Publications: publicationsOf(r.History.Publications),
			Epoch:        r.History.Epoch, Offset: r.History.Offset,
		}
	case r.Ping != nil:
		out.Ping = &protocol.PingResult{}
	case r.RPC != nil:
		out.Rpc = &protocol.RPCResult{Data: protocol.Raw(r.RPC.Data)}
	case r.Refresh != nil:
		out.Refresh = &protocol.RefreshResult{
			Client: r.Refresh.Client, Version: r.Refresh.Version,
			Expires: r.Refresh.Expires, Ttl: r.Refresh.TTL,
		}
	case r.SubRefresh != nil:
		out.SubRefresh = &protocol.SubRefreshResult{
			Expires: r.SubRefresh.Expires, Ttl: r.SubRefresh.TTL,
		}
	}
	return out
}

func connectionOf(in *connectResult) *protocol.ConnectResult {
	data, err := json.Marshal(in.Data)
	if err != nil {
		panic(err) // a position and a text
	}
	out := &protocol.ConnectResult{
		Client: in.Client, Version: in.Version, Expires: in.Expires, Ttl: in.TTL, Data: data,
		Ping: in.Ping, Pong: in.Pong, Session: in.Session, Node: in.Node,
		Subs: map[string]*protocol.SubscribeResult{},
	}
	for channel, sub := range in.Subs {
		out.Subs[channel] = subscribedOf(&sub)
	}
	return out
}

func subscribedOf(in *subscribeResult) *protocol.SubscribeResult {
	return &protocol.SubscribeResult{
		Recoverable: in.Recoverable, Epoch: in.Epoch, Recovered: in.Recovered, Offset: in.Offset,
		Positioned: in.Positioned, WasRecovering: in.WasRecovering,
		Publications: publicationsOf(in.Publications),
	}
}

func publicationsOf(in []publication) []*protocol.Publication {
	out := make([]*protocol.Publication, len(in))
	for i := range in {
		out[i] = &protocol.Publication{Data: protocol.Raw(in[i].Data), Offset: in[i].Offset}
	}
	return out
}
