package pdf

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
)

func newProvider(t *testing.T) (*Provider, *document.Store) {
	dir, err := document.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	store := document.NewStore(dir)
	p, err := NewProvider(Config{Store: store})
	require.NoError(t, err)
	return p, store
}

func TestP5_EveryAttemptStoresTheSameDocument(t *testing.T) {
	t.Parallel()
	p, store := newProvider(t)
	require.True(t, p.Abilities().Idempotent)
	r := receipt()
	var err error
	r.Logo, err = store.Put(t.Context(), logo(t))
	require.NoError(t, err)
	d := &consumers.Delivery{
		ID: "d1", School: "oak", Channel: consumers.PDF,
		Template: paper.KindReceipt, Language: "fr", Params: paper.Encode(r),
	}
	first, err := p.Send(t.Context(), d)
	require.NoError(t, err)
	again, err := p.Send(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, consumers.Rendered, first.State)
	require.Equal(t, &consumers.Document{
		Kind: paper.KindReceipt, StudentID: "student-0007", SHA256: first.ProviderID,
		Bytes: first.Document.Bytes,
	}, first.Document)
	body, err := store.Get(t.Context(), first.Document.SHA256)
	require.NoError(t, err)
	require.Len(t, body, int(first.Document.Bytes))
	require.Contains(t, read(t, body), "12\u00a0345,50")
}

func TestAnUnusableLogoIsLeftOut(t *testing.T) {
	t.Parallel()
	p, store := newProvider(t)
	r := receipt()
	send := func() string {
		d := &consumers.Delivery{Template: paper.KindReceipt, Params: paper.Encode(r)}
		got, err := p.Send(t.Context(), d)
		require.NoError(t, err)
		return got.Document.SHA256
	}
	without := send()
	var err error
	r.Logo, err = store.Put(t.Context(), []byte("no picture"))
	require.NoError(t, err)
	require.Equal(t, without, send())
	r.Logo = "../../etc/passwd"
	require.Equal(t, without, send())
}

type broken struct{}

func (broken) Write(context.Context, string, []byte) error { return errors.New("broken") }

func (broken) Read(context.Context, string, int64) ([]byte, error) {
	return nil, errors.New("broken")
}

func TestErrorsTellWhetherToRetry(t *testing.T) {
	t.Parallel()
	p, err := NewProvider(Config{Store: document.NewStore(broken{})})
	require.NoError(t, err)
	class := func(d *consumers.Delivery) consumers.ErrorClass {
		_, err := p.Send(t.Context(), d)
		var sendError *consumers.SendError
		require.ErrorAs(t, err, &sendError)
		require.NotErrorIs(t, err, fs.ErrNotExist)
		return sendError.Class
	}
	r := receipt()
	require.Equal(t, consumers.Temporary,
		class(&consumers.Delivery{Template: paper.KindReceipt, Params: paper.Encode(r)}))
	r.Logo = "0000000000000000000000000000000000000000000000000000000000000000"
	require.Equal(t, consumers.Temporary,
		class(&consumers.Delivery{Template: paper.KindReceipt, Params: paper.Encode(r)}))
	require.Equal(t, consumers.Permanent, class(&consumers.Delivery{Template: "diploma"}))
}

func TestLinksAreOfRenderedDocuments(t *testing.T) {
	t.Parallel()
	links, err := document.NewLinks("https://school.example", make([]byte, document.MinKey))
	require.NoError(t, err)
	link := Link(links)
	_, err = link(t.Context(), &consumers.Delivery{ID: "d2", DependsOn: "d1"})
	require.ErrorContains(t, err, "not rendered yet")
	to, err := link(t.Context(), &consumers.Delivery{Document: &consumers.Document{SHA256: "abc"}})
	require.NoError(t, err)
	require.Contains(t, to, "https://school.example/documents/abc?expires=")
}

// A letter with a box for a name in it is worse than none: the school learns which letters are
// missing, and can retry once it has a font for them.
func TestADocumentWithALetterThatNoFontHasFailsWithThatLetter(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t)
	r := receipt()
	for student, letters := range map[string]string{
		"小明 王": "小明王", "김 민준": "김민준", "Zoë 東": "東",
	} {
		r.Student = student
		_, err := p.Send(t.Context(),
			&consumers.Delivery{Template: paper.KindReceipt, Params: paper.Encode(r)})
		var sendError *consumers.SendError
		require.ErrorAs(t, err, &sendError)
		require.Equal(t, consumers.Permanent, sendError.Class)
		require.Equal(t, "letters", sendError.Code)
		require.ErrorContains(t, err, `no font has the letters "`+letters+`"`)
	}
	for _, student := range []string{
		"สมชาย ใจดี", "তানিয়া রহমান", "தமிழ் செல்வன்", "ሰላም ተስፋዬ", "Հայկ Գրիգորյան", "გიორგი ბერიძე", "Zoë 🎉",
	} {
		r.Student = student
		_, err := p.Send(t.Context(),
			&consumers.Delivery{Template: paper.KindReceipt, Params: paper.Encode(r)})
		require.NoError(t, err, student)
	}
}
