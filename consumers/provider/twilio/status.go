package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Status implements [consumers.StatusProvider]: it reads the message of a delivery that has one, or
// searches for a message to the same number with the same text that belongs to no other delivery.
func (p *Provider) Status(ctx context.Context,
	d *consumers.Delivery,
) (consumers.Receipt, bool, error) {
	if d.ProviderID != "" {
		return p.read(ctx, d.ProviderID)
	}
	text, err := p.text(ctx, d)
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	var list struct {
		Messages []message `json:"messages"`
		NextPage scalar    `json:"next_page_uri"`
	}
	query := url.Values{"To": {d.Address}, "PageSize": {"1000"}}
	response, err := p.get(ctx, "/Messages.json?"+query.Encode())
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	if !response.OK() {
		return consumers.Receipt{}, false, refusalError(response)
	}
	if err := decode(response.Body, &list); err != nil {
		return consumers.Receipt{}, false, fmt.Errorf("decode list of messages: %w", err)
	}
	if list.Messages == nil { // an error body or a page of a proxy: that is not an empty list
		return consumers.Receipt{}, false, errors.New("service responded without a list of messages")
	}
	var found []message
	for _, m := range list.Messages {
		if string(m.To) != d.Address || string(m.Body) != text {
			continue
		}
		if p.config.FindDelivery != nil {
			claimedBy, err := p.config.FindDelivery(ctx, p.Name(), string(m.SID))
			if err != nil {
				return consumers.Receipt{}, false, fmt.Errorf("find delivery of message: %w", err)
			}
			if claimedBy == d.ID {
				return m.receipt(), true, nil
			}
			if claimedBy != "" {
				continue
			}
		}
		found = append(found, m)
	}
	switch {
	case len(found) == 1, len(found) > 1 && p.config.FindDelivery != nil:
		// the newest is first; the oldest without a delivery is ours
		return found[len(found)-1].receipt(), true, nil
	case len(found) > 1:
		return consumers.Receipt{}, false, errors.New("several messages have this text and number")
	case list.NextPage != "":
		return consumers.Receipt{}, false, errors.New("too many messages to this number to search")
	}
	return consumers.Receipt{}, false, nil
}

// read reads a message by its id. Its price is set some time after it was sent.
func (p *Provider) read(ctx context.Context, sid string) (consumers.Receipt, bool, error) {
	response, err := p.get(ctx, "/Messages/"+url.PathEscape(sid)+".json")
	if err != nil {
		return consumers.Receipt{}, false, err
	}
	if response.Status == http.StatusNotFound {
		return consumers.Receipt{}, false, nil
	}
	if !response.OK() {
		return consumers.Receipt{}, false, refusalError(response)
	}
	var m message
	if err := decode(response.Body, &m); err != nil || string(m.SID) != sid {
		return consumers.Receipt{}, false, errors.New("service responded without the message")
	}
	return m.receipt(), true, nil
}

func (p *Provider) get(ctx context.Context, path string) (*provider.Response, error) {
	req, err := p.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return p.client.Do(req)
}
