package centrifuge

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

// command is a message of the client. Exactly one of its requests is set; none is a pong.
type command struct {
	ID            uint32             `json:"id"`
	Connect       *connectRequest    `json:"connect"`
	Subscribe     *subscribeRequest  `json:"subscribe"`
	Unsubscribe   *channelRequest    `json:"unsubscribe"`
	Presence      *channelRequest    `json:"presence"`
	PresenceStats *channelRequest    `json:"presence_stats"`
	History       *historyRequest    `json:"history"`
	Ping          *struct{}          `json:"ping"`
	RPC           *rpcRequest        `json:"rpc"`
	Refresh       *refreshRequest    `json:"refresh"`
	SubRefresh    *subRefreshRequest `json:"sub_refresh"`
	Publish       *struct{}          `json:"publish"`
	Send          *struct{}          `json:"send"`
}

type (
	connectRequest struct {
		Token string                      `json:"token"`
		Data  jsontext.Value              `json:"data"`
		Subs  map[string]subscribeRequest `json:"subs"`
	}
	subscribeRequest struct {
		Channel string `json:"channel"`
		Recover bool   `json:"recover"`
		Epoch   string `json:"epoch"`
		Offset  uint64 `json:"offset"`
		Flag    uint64 `json:"flag"`
	}
	channelRequest struct {
		Channel string `json:"channel"`
	}
	historyRequest struct {
		Channel string          `json:"channel"`
		Limit   int             `json:"limit"`
		Since   *streamPosition `json:"since"`
		Reverse bool            `json:"reverse"`
	}
	streamPosition struct {
		Offset uint64 `json:"offset"`
		Epoch  string `json:"epoch"`
	}
	rpcRequest struct {
		Method string         `json:"method"`
		Data   jsontext.Value `json:"data"`
	}
	refreshRequest struct {
		Token string `json:"token"`
	}
	subRefreshRequest struct {
		Channel string `json:"channel"`
		Token   string `json:"token"`
	}
)

// rejectUnrecovered is the bit of subscribeRequest.Flag with which a client requests error 112 for
// a position that cannot be served.
const rejectUnrecovered = 2

// reply answers a command.
type reply struct {
	ID            uint32               `json:"id,omitzero"`
	Error         *protocolError       `json:"error,omitzero"`
	Connect       *connectResult       `json:"connect,omitzero"`
	Subscribe     *subscribeResult     `json:"subscribe,omitzero"`
	Unsubscribe   *struct{}            `json:"unsubscribe,omitzero"`
	Presence      *presenceResult      `json:"presence,omitzero"`
	PresenceStats *presenceStatsResult `json:"presence_stats,omitzero"`
	History       *historyResult       `json:"history,omitzero"`
	Ping          *struct{}            `json:"ping,omitzero"`
	RPC           *rpcResult           `json:"rpc,omitzero"`
	Refresh       *refreshResult       `json:"refresh,omitzero"`
	SubRefresh    *subRefreshResult    `json:"sub_refresh,omitzero"`
}

type (
	connectResult struct {
		Client  string                     `json:"client"`
		Version string                     `json:"version"`
		Expires bool                       `json:"expires,omitzero"`
		TTL     uint32                     `json:"ttl,omitzero"`
		Data    connectData                `json:"data"`
		Subs    map[string]subscribeResult `json:"subs,omitempty"`
		Ping    uint32                     `json:"ping,omitzero"`
		Pong    bool                       `json:"pong,omitzero"`
		// of a connection whose commands come in requests of their own
		Session string `json:"session,omitzero"`
		Node    string `json:"node,omitzero"`
	}
	connectData struct {
		Position domain.LogPosition `json:"position"`
		Epoch    string             `json:"epoch"`
	}
	subscribeResult struct {
		Recoverable   bool          `json:"recoverable,omitzero"`
		Epoch         string        `json:"epoch,omitzero"`
		Publications  []publication `json:"publications,omitempty"`
		Recovered     bool          `json:"recovered,omitzero"`
		Offset        uint64        `json:"offset,omitzero"`
		Positioned    bool          `json:"positioned,omitzero"`
		WasRecovering bool          `json:"was_recovering,omitzero"`
	}
	publication struct {
		Data   jsontext.Value `json:"data"`
		Offset uint64         `json:"offset,omitzero"`
	}
	presenceResult struct {
		Presence map[string]clientInfo `json:"presence"`
	}
	clientInfo struct {
		User   string `json:"user"`
		Client string `json:"client"`
	}
	presenceStatsResult struct {
		Clients int `json:"num_clients"`
		Users   int `json:"num_users"`
	}
	historyResult struct {
		Publications []publication `json:"publications,omitempty"`
		Epoch        string        `json:"epoch"`
		Offset       uint64        `json:"offset"`
	}
	rpcResult struct {
		Data jsontext.Value `json:"data"`
	}
	refreshResult struct {
		Client  string `json:"client"`
		Version string `json:"version"`
		Expires bool   `json:"expires,omitzero"`
		TTL     uint32 `json:"ttl,omitzero"`
	}
	subRefreshResult struct {
		Expires bool   `json:"expires,omitzero"`
		TTL     uint32 `json:"ttl,omitzero"`
	}
)

// protocolError refuses a command. The numbers are the protocol's.
type protocolError struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary,omitzero"`
}

// Error implements error.
func (e *protocolError) Error() string { return strconv.Itoa(int(e.Code)) + " " + e.Message }

// codeBadRequest is of errors that say what is wrong.
const codeBadRequest = 107

var (
	errInternal          = &protocolError{100, "internal server error", true}
	errRightsUnavailable = &protocolError{100, realtime.ErrRightsUnavailable.Error(), true}
	errUnknownChannel    = &protocolError{102, "unknown channel", false}
	errPermissionDenied  = &protocolError{103, "permission denied", false}
	errMethodNotFound    = &protocolError{104, "method not found", false}
	errAlreadySubscribed = &protocolError{105, "already subscribed", false}
	errLimitExceeded     = &protocolError{106, "limit exceeded", false}
	errNotAvailable      = &protocolError{108, "not available", false}
	errTokenExpired      = &protocolError{109, "token expired", false}
	errUnrecoverable     = &protocolError{112, "unrecoverable position", false}
)

// wireOffset returns the offset of a position for the protocol, which has no negative numbers.
func wireOffset(p domain.LogPosition) uint64 { return uint64(max(0, p.Offset)) }

// offsetOf is the reverse of wireOffset. It takes 0 for the beginning of the log.
func offsetOf(wire uint64) int64 {
	if wire == 0 {
		return -1
	}
	return int64(min(wire, 1<<62))
}
