package pdf

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
)

// Renderer renders documents. Any number of goroutines may use it.
type Renderer struct {
	fonts   *page.Fonts
	catalog *wording.Catalog
}

// NewRenderer reads the words, and the fonts of a directory besides those that are embedded, if it
// is not empty.
func NewRenderer(fontsDir string) (*Renderer, error) {
	fonts, err := page.OpenFonts(fontsDir)
	if err != nil {
		return nil, err
	}
	catalog, err := wording.Open()
	if err != nil {
		return nil, err
	}
	return &Renderer{fonts, catalog}, nil
}

// ErrUnknownKind reports a kind of document that does not exist.
var ErrUnknownKind = errors.New("no document of this kind")

// MissingLettersError means that a document has letters that no font has: it would show boxes in
// their place. It can be rendered again when there is a font that has them.
type MissingLettersError struct {
	Letters string // in the order in which they come first
}

func (e *MissingLettersError) Error() string {
	return fmt.Sprintf("no font has the letters %q: put one that has them into the directory of "+
		"--fonts-dir, start again and retry", e.Letters)
}

// Margins by size of paper, in points.
const (
	wide   = 52
	narrow = 34
)

// Render renders a document of a kind that package paper names from the data in params, in the best
// match for the wanted language, with the school's logo if it is not nil. Equal arguments give
// equal bytes.
func (r *Renderer) Render(
	kind string, params jsontext.Value, wanted string, logo *page.Image,
) ([]byte, error) {
	w := r.catalog.Words(wanted)
	switch kind {
	case paper.KindReportCard:
		card, err := paper.Decode[paper.ReportCard](params)
		if err != nil {
			return nil, err
		}
		s := r.sheet(w, card.Head, w.Text("report_card"), logo, page.A4Width, page.A4Height, wide)
		s.reportCard(&card)
		return s.finish()
	case paper.KindReceipt:
		receipt, err := paper.Decode[paper.Receipt](params)
		if err != nil {
			return nil, err
		}
		s := r.sheet(w, receipt.Head, w.Text("receipt"), logo, page.A5Width, page.A5Height, narrow)
		s.paymentReceipt(&receipt)
		return s.finish()
	case paper.KindFeeStatement:
		statement, err := paper.Decode[paper.FeeStatement](params)
		if err != nil {
			return nil, err
		}
		s := r.sheet(w, statement.Head, w.Text("statement"), logo, page.A4Width,
			page.A4Height, wide)
		s.feeStatement(&statement)
		return s.finish()
	default:
		return nil, fmt.Errorf("%w: %.40q", ErrUnknownKind, kind)
	}
}

// Title returns the title of a document that was rendered here, for example "Receipt – Ada King –
// 2026-12-18", or "".
func Title(file []byte) string { return page.TitleOf(file) }
