package client

// SetCompress makes bodies compressed although the server is on this machine.
func (c *Client) SetCompress(on bool) { c.compress.Store(on) }
