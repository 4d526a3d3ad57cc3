package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/golden"
)

func TestMain(m *testing.M) {
	api.DisableConfigDir() // the validator would write its settings to the home directory
	devtest.Main(m)
}

var head = paper.Head{
	School: "Lycée Émile-Zola", StudentID: "student-0007", Student: "Zoë Ångström-Nguyễn",
	Class:    "7A",
	IssuedOn: domain.NewDate(2026, 12, 18),
}

func reportCard() paper.ReportCard {
	card := paper.ReportCard{
		Head: head, BirthDate: domain.NewDate(2014, 3, 9), GradeLevel: "7", Year: "2026-2027",
		Term:   "autumn",
		Method: marks.Equal, Average: new(78.46), ClassMean: new(69.25), Rank: 3, RankOf: 24, From: domain.NewDate(2026, 9, 1),
		To:         domain.NewDate(2026, 12, 18),
		Attendance: paper.Attendance{Days: 65.5, Absent: 3.5, Unexcused: 1, Rate: 0.9466, Late: 3},
	}
	for i, name := range []string{
		"biology", "français", "history", "maths", "music",
		"physical education and health",
	} {
		card.Subjects = append(card.Subjects, subject(name, i, "Quiz", "Test", "Final examination"))
	}
	card.Subjects[1].Remark = "Zoë reads a great deal and writes with wit."
	return card
}

func subject(name string, i int, titles ...string) paper.Subject {
	s := paper.Subject{Name: name, Average: new(55.5 + 6.77*float64(i)), Class: new(71.25 - float64(i))}
	for n, title := range titles {
		points := []domain.Decimal{20, 50, 100}[n%3] * domain.DecimalUnit
		s.Marks = append(s.Marks, paper.Mark{
			Title: title, On: domain.NewDate(2026, 9, 12).AddDays(21*n + i),
			Score: points * domain.Decimal(55+7*i) / 100, Max: points,
		})
	}
	return s
}

// longReportCard has more and longer texts than fit on one page.
func longReportCard() paper.ReportCard {
	card := reportCard()
	card.School = "Colegio Bilingüe Internacional Nuestra Señora de la Asunción y San Sebastián de los Caballeros"
	card.Student = "María de los Ángeles Guadalupe Fernández-Villaverde y Rodríguez de la Torre"
	card.Class, card.GradeLevel = "Primero de Bachillerato Internacional B",
		"Primero de Bachillerato"
	card.Subjects = nil
	for i, name := range []string{
		"biología", "educación física", "física y química", "geografía e historia", "inglés",
		"lengua castellana y literatura española",
		"matemáticas aplicadas a las ciencias sociales", "música", "religión o valores éticos",
	} {
		s := subject(name, i, "Prueba inicial", "Examen parcial",
			"Trabajo en grupo sobre un tema elegido por los estudiantes, con presentación oral",
			"Examen final", "Cuaderno", "Proyecto")
		s.Remark = strings.Repeat("Trabaja con constancia y participa en clase. ", 1+i%3*2)
		card.Subjects = append(card.Subjects, s)
	}
	card.Remark = strings.Repeat("Ha sido un trimestre de mucho esfuerzo, y se nota. ", 12) +
		"\nEnhorabuena. מזל טוב! أحسنتِ."
	return card
}

func arabicReportCard() paper.ReportCard {
	card := reportCard()
	card.School, card.Student, card.Class, card.Term = "مدرسة النور الثانوية",
		"محمد بن عبد الله العلوي", "السابع أ", "الفصل الأول"
	card.Remark = "طالب مجتهد ومتعاون، نتمنى له مزيدًا من النجاح في مادة الرياضيات."
	card.Subjects = nil
	for i, name := range []string{"الرياضيات", "العلوم", "اللغة العربية", "English"} {
		card.Subjects = append(card.Subjects,
			subject(name, i, "اختبار قصير", "امتحان منتصف الفصل", "Final exam"))
	}
	card.Subjects[1].Remark = "يشارك في الحصص بانتظام."
	return card
}

func receipt() paper.Receipt {
	return paper.Receipt{
		Head: head, Payment: "PAY-2026-000917", Payer: "Björn Ångström", Invoice: "INV-2026-0415",
		Category: "tuition",
		Year:     "2026-2027", Term: "2", Amount: 1_234_550, Currency: "EUR",
		Method:     "mobile_money",
		ReceivedOn: domain.NewDate(2026, 12, 17),
	}
}

func feeStatement(entries int) paper.FeeStatement {
	a := paper.Account{Currency: "EUR", Opening: 12_000, Balance: 12_000}
	for i := range entries {
		e := paper.Entry{
			On: domain.NewDate(2026, 1, 1).AddDays(7 * i), Kind: "invoice",
			Ref: fmt.Sprintf("INV-2026-%04d", i), Text: "tuition", Charge: 50_000,
			Year: "2026-2027", Term: "autumn", DueOn: domain.NewDate(2026, 1, 31).AddDays(7 * i),
		}
		switch i % 6 {
		case 1, 4:
			e.Kind, e.Ref, e.Charge, e.Credit, e.DueOn, e.Method = "payment",
				fmt.Sprintf("PAY-%d", i), 0, 42_000, 0, "bank"
		case 2:
			e.Kind, e.Ref, e.Charge, e.Credit, e.DueOn, e.Text = "waiver", "INV-2026-0000", 0,
				8_000, 0, "hardship fund"
		case 5:
			e.Kind, e.Ref, e.Charge, e.DueOn, e.Method, e.Text = "reversal",
				fmt.Sprintf("PAY-%d", i-1), 42_000, 0, "bank", "returned by the bank"
		}
		a.Balance += e.Charge - e.Credit
		e.Balance = a.Balance
		a.Entries = append(a.Entries, e)
	}
	a.Overdue = min(a.Balance, 150_000)
	return paper.FeeStatement{
		Head: head, Payer: "Björn Ångström", From: domain.NewDate(2026, 1, 1),
		Accounts: []paper.Account{a},
	}
}

// oddFeeStatement has two currencies, one without decimals, large amounts, and names in other
// scripts.
func oddFeeStatement() paper.FeeStatement {
	f := feeStatement(4)
	f.School, f.Student, f.Payer = "École Internationale d’Abidjan", "יעל בת־אברהם (محمد)",
		"विद्या क्षत्रिय"
	f.Accounts[0].Opening, f.Accounts[0].Overdue = 0, 0
	f.Accounts[0].Entries[0].Charge, f.Accounts[0].Entries[0].Balance = 999_999_999_999,
		1_000_000_000_000
	f.Accounts[0].Entries[1].Ref = "PAIEMENT-2026-ABIDJAN-PLATEAU-0000000000000000000017-B"
	f.Accounts = append(f.Accounts, paper.Account{
		Currency: "XOF", Balance: -1500, Opening: -1500,
	}, paper.Account{Currency: "KWD", Entries: []paper.Entry{
		{
			On: domain.NewDate(2026, 3, 1), Kind: "invoice", Ref: "7", Text: "حافلة مدرسية",
			Charge: 12_345, Balance: 12_345,
		},
		{
			On: domain.NewDate(2026, 3, 2), Kind: "payment", Ref: "8", Method: "cheque",
			Credit: 12_345,
		},
	}})
	return f
}

// logo is a picture with transparent corners.
func logo(t testing.TB) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 200, 200))
	for y := range 200 {
		for x := range 200 {
			switch d := (x-100)*(x-100) + (y-100)*(y-100); {
			case d < 60*60 && d > 40*40:
				m.Set(x, y, color.NRGBA{R: 0xf0, G: 0xc0, B: 0x40, A: 0xff})
			case d < 98*98:
				m.Set(x, y, color.NRGBA{R: 0x1b, G: 0x4f, B: 0x72, A: 0xff})
			}
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, m))
	return b.Bytes()
}

func picture(t testing.TB) *page.Image {
	p, err := page.ReadImage(logo(t))
	require.NoError(t, err)
	return p
}

// sample is a document with unusual content.
type sample struct {
	kind, language string
	params         jsontext.Value
	logo           *page.Image
}

func samples(t testing.TB) map[string]sample {
	mixed := receipt()
	mixed.Student, mixed.Payer, mixed.Currency = "विद्या क्षत्रिय", "אברהם לוי", "XOF"
	empty := reportCard()
	empty.Subjects, empty.Attendance, empty.Rank = nil, paper.Attendance{}, 0
	none := feeStatement(0)
	none.Accounts = nil
	arabic := feeStatement(9)
	arabic.School, arabic.Student, arabic.Payer = "مدرسة النور الثانوية", "Zoë Ångström",
		"عبد الله العلوي"
	return map[string]sample{
		"report_card_en": {paper.KindReportCard, "en", paper.Encode(reportCard()), picture(t)},
		"report_card_fr": {paper.KindReportCard, "fr-CM", paper.Encode(reportCard()), nil},
		"report_card_ar": {
			paper.KindReportCard, "ar", paper.Encode(arabicReportCard()),
			picture(t),
		},
		"report_card_empty": {paper.KindReportCard, "pt", paper.Encode(empty), nil},
		"receipt_en":        {paper.KindReceipt, "en", paper.Encode(receipt()), picture(t)},
		"receipt_es":        {paper.KindReceipt, "es", paper.Encode(mixed), nil},
		"receipt_fallback":  {paper.KindReceipt, "not a language", paper.Encode(receipt()), nil},
		"receipt_ar":        {paper.KindReceipt, "ar-EG", paper.Encode(receipt()), picture(t)},
		"report_card_es_long": {
			paper.KindReportCard, "es", paper.Encode(longReportCard()),
			picture(t),
		},
		"fee_statement_en": {
			paper.KindFeeStatement, "en-GB", paper.Encode(feeStatement(40)),
			picture(t),
		},
		"fee_statement_pt": {
			paper.KindFeeStatement, "pt-BR",
			paper.Encode(feeStatement(7)), nil,
		},
		"fee_statement_ar":    {paper.KindFeeStatement, "ar", paper.Encode(arabic), picture(t)},
		"fee_statement_odd":   {paper.KindFeeStatement, "fr", paper.Encode(oddFeeStatement()), nil},
		"fee_statement_empty": {paper.KindFeeStatement, "en", paper.Encode(none), nil},
	}
}

func TestGoldenDocuments(t *testing.T) {
	t.Parallel()
	r, err := NewRenderer("")
	require.NoError(t, err)
	for name, d := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := r.Render(d.kind, d.params, d.language, d.logo)
			require.NoError(t, err)
			config := model.NewDefaultConfiguration()
			config.ValidationMode = model.ValidationStrict
			require.NoError(t, api.Validate(bytes.NewReader(file), config))
			again, err := r.Render(d.kind, d.params, d.language, d.logo)
			require.NoError(t, err)
			require.True(t, bytes.Equal(file, again), "equal data gives equal bytes")
			require.Less(t, len(file), 96<<10)

			if golden.Updating() { // the documents themselves, to look at
				dir := filepath.Join(os.TempDir(), "schoolbell-documents")
				require.NoError(t, os.MkdirAll(dir, 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name+".pdf"), file, 0o644))
			}
			golden.Check(t, filepath.Join("testdata", name+".txt"), []byte(read(t, file)))
		})
	}
}

// A document is the same in another process, time zone and locale, and with any number of
// processors.
func TestDocumentsAreTheSameInEveryProcess(t *testing.T) {
	t.Parallel()
	const output = "SCHOOLBELL_TEST_HASHES"
	hashes := func() string {
		r, err := NewRenderer("")
		require.NoError(t, err)
		all := samples(t)
		var out strings.Builder
		for _, name := range slices.Sorted(maps.Keys(all)) {
			d := all[name]
			file, err := r.Render(d.kind, d.params, d.language, d.logo)
			require.NoError(t, err)
			fmt.Fprintf(&out, "%s %x\n", name, sha256.Sum256(file))
		}
		return out.String()
	}
	if into := os.Getenv(output); into != "" {
		require.NoError(t, os.WriteFile(into, []byte(hashes()), 0o600))
		return
	}
	want := hashes()
	for i, zone := range []string{"TZ=Pacific/Kiritimati", "TZ=America/Los_Angeles"} {
		into := filepath.Join(t.TempDir(), "hashes")
		other := exec.CommandContext(t.Context(), os.Args[0],
			"-test.run=^TestDocumentsAreTheSameInEveryProcess$")
		other.Env = append(os.Environ(), output+"="+into, zone, "LC_ALL=ar_EG.UTF-8",
			"GOMAXPROCS="+strconv.Itoa(1+3*i))
		printed, err := other.CombinedOutput()
		require.NoError(t, err, string(printed))
		got, err := os.ReadFile(into)
		require.NoError(t, err)
		require.Equal(t, want, string(got), zone)
	}
}

// Text copied from a page by another program is the text that was written: joined letters, marks
// above letters, names from right to left, and ligatures.
func TestAnotherProgramReadsTheText(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "pdftotext")
	program := devtest.Program(t, "pdftotext")
	r, err := NewRenderer("")
	require.NoError(t, err)
	card := arabicReportCard()
	card.Subjects = append(card.Subjects,
		subject("office, fjord & ﬁnal – Nguyễn Ångström", 1, "תַּרְגּוּל ראשון", "क्षत्रिय",
			"Ёлка Œuvre"))
	file, err := r.Render(paper.KindReportCard, paper.Encode(card), "ar", nil)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "card.pdf")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	printed, err := exec.CommandContext(t.Context(), program, "-enc", "UTF-8", path, "-").Output()
	require.NoError(t, err)
	text := strings.Map(func(r rune) rune { // poppler marks directions
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' ||
			r == '\u200f' {
			return -1
		}
		return r
	}, string(printed))
	text = strings.Join(strings.Fields(text), " ") // wherever a cell breaks its lines
	for _, want := range []string{
		"محمد بن عبد الله العلوي", "مدرسة النور الثانوية", "كشف الدرجات", "اللغة العربية",
		"Office, fjord", "Nguyễn Ångström", "क्षत्रिय", "Ёлка Œuvre",
		"ראשון",
	} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "كشف الدرجات – محمد بن عبد الله العلوي – 2026-12-18", Title(file))
}

func TestTheLogoIsPartOfTheDocument(t *testing.T) {
	t.Parallel()
	r, err := NewRenderer("")
	require.NoError(t, err)
	with, err := r.Render(paper.KindReceipt, paper.Encode(receipt()), "en", picture(t))
	require.NoError(t, err)
	without, err := r.Render(paper.KindReceipt, paper.Encode(receipt()), "en", nil)
	require.NoError(t, err)
	require.NotEqual(t, with, without)
}

func TestUnknownKindsAndBadDataAreRefused(t *testing.T) {
	t.Parallel()
	r, err := NewRenderer("")
	require.NoError(t, err)
	_, err = r.Render("diploma", nil, "en", nil)
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = r.Render(paper.KindReceipt, []byte(`{"amount":"much"}`), "en", nil)
	require.ErrorContains(t, err, "read the data")
}

// Every word that the layouts use is in the English file, which all other languages are compared
// with.
func TestWordsOfTheLayoutsAreTranslated(t *testing.T) {
	t.Parallel()
	catalog, err := wording.Open()
	require.NoError(t, err)
	words := catalog.Words("en")
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	used := regexp.MustCompile(`(?:\.word|w\.Text)\("(\w+)"`)
	count := 0
	for _, name := range names {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range used.FindAllStringSubmatch(string(source), -1) {
			_, ok := words.Lookup(m[1])
			require.True(t, ok, "%s: %s", name, m[1])
			count++
		}
	}
	require.Greater(t, count, 50)
}

var (
	streams = regexp.MustCompile(`(?s)(\d+) 0 obj\n<<[^\n]*?/FlateDecode/Length (\d+)>>\nstream\n`)
	fonts   = regexp.MustCompile(`/(NotoSans\w*-\w+) (\d+) 0 R`)
	toText  = regexp.MustCompile(`/ToUnicode (\d+) 0 R`)
	meaning = regexp.MustCompile(`<(\w{4})> <(\w+)>`)
	shown   = regexp.MustCompile(`BT /(\S+) \S+ Tf (?s:.*?) ET`)
	codes   = regexp.MustCompile(`ActualText <FEFF(\w+)>>>BDC .*? EMC|<(\w{4})>`)
)

// read returns the text that can be copied out of a document: a line for each piece, from left to
// right as it is drawn.
func read(t *testing.T, file []byte) string {
	inflated := map[string]string{}
	for _, m := range streams.FindAllSubmatchIndex(file, -1) {
		length, err := strconv.Atoi(string(file[m[4]:m[5]]))
		require.NoError(t, err)
		z, err := zlib.NewReader(bytes.NewReader(file[m[1] : m[1]+length]))
		require.NoError(t, err)
		content, err := io.ReadAll(z)
		require.NoError(t, err)
		inflated[string(file[m[2]:m[3]])] = string(content)
	}
	means := map[string]map[string]string{} // by font and code
	for _, f := range fonts.FindAllSubmatch(file, -1) {
		object := file[bytes.Index(file, []byte("\n"+string(f[2])+" 0 obj\n")):]
		table := map[string]string{}
		for _, m := range meaning.FindAllStringSubmatch(inflated[string(toText.FindSubmatch(object)[1])], -1) {
			table[m[1]] = decode(t, m[2])
		}
		means[string(f[1])] = table
	}
	var out strings.Builder
	for _, p := range regexp.MustCompile(`/Contents (\d+) 0 R`).FindAllSubmatch(file, -1) {
		out.WriteString("page\n")
		for _, piece := range shown.FindAllStringSubmatch(inflated[string(p[1])], -1) {
			for _, c := range codes.FindAllStringSubmatch(piece[0], -1) {
				if c[1] != "" {
					out.WriteString(decode(t, c[1]))
				} else {
					out.WriteString(means[piece[1]][c[2]])
				}
			}
			out.WriteString("\n")
		}
	}
	return out.String()
}

func decode(t *testing.T, digits string) string {
	raw, err := hex.DecodeString(digits)
	require.NoError(t, err)
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return string(utf16.Decode(units))
}

// BenchmarkRender renders report cards one after the other.
func BenchmarkRender(b *testing.B) {
	r, err := NewRenderer("")
	require.NoError(b, err)
	params, school := paper.Encode(reportCard()), picture(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Render(paper.KindReportCard, params, "en", school); err != nil {
			b.Fatal(err)
		}
	}
}
