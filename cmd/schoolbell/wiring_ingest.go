package main

import "github.com/schoolbell/schoolbell/internal/httpapi"

// wireIngest lets events in and the log be read.
func (p *program) wireIngest(deps *httpapi.Deps) { deps.Log = p.events }
