package document

import (
	"html/template"
	"net/http"
)

// errorPage is what a browser shows when a link leads to no document.
type errorPage struct {
	Language  string
	Direction string
	Title     string
	Text      string
}

var errorPageTemplate = template.Must(template.New("refusal").Parse(`<!doctype html>
<html lang="{{.Language}}" dir="{{.Direction}}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f2f6f9; color: #1d2733;
  font: 1.0625rem/1.6 system-ui, sans-serif }
main { max-width: 30rem; margin: 1.5rem; padding: 2rem 2.25rem; background: #fff; border-top: 4px solid #1b4f72; border-radius: 6px }
h1 { margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.3 }
p { margin: 0; color: #4a5663 }
</style>
<main><h1>{{.Title}}</h1><p>{{.Text}}</p></main>
</html>
`))

// writeErrorPage writes the page for a status in the best match for an Accept-Language header.
func (h *handler) writeErrorPage(w http.ResponseWriter, acceptLanguage string, status int) {
	key := "link_invalid"
	switch status {
	case http.StatusGone:
		key = "link_expired"
	case http.StatusNotFound:
		key = "document_missing"
	case http.StatusServiceUnavailable:
		key = "store_unavailable"
	}
	words := h.catalog.Words(acceptLanguage)
	page := errorPage{
		Language: words.Language.String(), Direction: "ltr",
		Title: words.Text(key + "_title"), Text: words.Text(key + "_text"),
	}
	if words.RightToLeft {
		page.Direction = "rtl"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", page.Language)
	w.WriteHeader(status)
	_ = errorPageTemplate.Execute(w, page) // the reader may be gone
}
