package page

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// Info describes a document.
type Info struct {
	Title       string
	Author      string
	Language    string // BCP 47
	RightToLeft bool   // drawn mirrored
	// Date is the date of creation that the file states. It is not the clock's: equal input must
	// give equal bytes.
	Date time.Time
}

// Document is a PDF being drawn. It belongs to one goroutine.
type Document struct {
	info       Info
	shaper     *shaper
	pages      []*Page
	images     []*Image
	open       []*element // the structure elements from the root down to the one being drawn
	inArtifact bool

	objects [][]byte // by number, from 1
	packer  packer
}

// New begins a document.
func (f *Fonts) New(info Info) *Document {
	return &Document{
		info: info, shaper: newShaper(f, info.Language, info.RightToLeft),
		open: []*element{{role: "Document"}},
	}
}

// Text shapes one line of text.
func (d *Document) Text(text string, style Style) Text { return d.shaper.lines(text, style, 0)[0] }

// Lines breaks text into lines no wider than width, in points. A word that is wider is broken too.
func (d *Document) Lines(text string, style Style, width float64) []Text {
	var all []Text
	for paragraph := range strings.SplitSeq(text, "\n") {
		all = append(all, d.shaper.lines(paragraph, style, width)...)
	}
	return all
}

// nameOf returns the resource name of an image, which is added to the document with its first use.
func (d *Document) nameOf(i *Image) string {
	at := slices.Index(d.images, i)
	if at < 0 {
		at = len(d.images)
		d.images = append(d.images, i)
	}
	return fmt.Sprintf("I%d", at+1)
}

// reserve returns the number of an object that is written later, so that objects can refer to each
// other.
func (d *Document) reserve() int {
	d.objects = append(d.objects, nil)
	return len(d.objects)
}

func (d *Document) set(number int, format string, args ...any) {
	d.objects[number-1] = fmt.Appendf(nil, format, args...)
}

func (d *Document) add(format string, args ...any) int {
	number := d.reserve()
	d.set(number, format, args...)
	return number
}

// stream adds an object with compressed data. The attributes are those other than length and filter.
func (d *Document) stream(attributes string, data []byte) int {
	packed := d.packer.deflate(data)
	return d.add("<<%s/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream", attributes,
		len(packed), packed)
}

// packer compresses one stream after the other. A compressor needs hundreds of kilobytes, so a
// document has only one.
type packer struct{ w *zlib.Writer }

func (p *packer) deflate(data []byte) []byte {
	var b bytes.Buffer
	if p.w == nil {
		p.w = zlib.NewWriter(&b)
	} else {
		p.w.Reset(&b)
	}
	_, err := p.w.Write(data)
	if err == nil {
		err = p.w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// Missing returns the letters of the texts so far that no font has, in the order in which they came
// first: they are drawn as boxes.
func (d *Document) Missing() string { return string(d.shaper.missing) }

// Bytes finishes the document and returns the file.
func (d *Document) Bytes() []byte {
	d.objects = nil
	catalog, tree := d.reserve(), d.reserve()
	var fonts, images, kids strings.Builder
	byName := func(a, b *face) int { return cmp.Compare(a.name, b.name) }
	for _, f := range slices.SortedFunc(slices.Values(d.shaper.faces), byName) {
		if len(f.signs) > 0 {
			fmt.Fprintf(&fonts, "/%s %d 0 R", f.name, d.addFont(f))
		}
	}
	for _, i := range d.images {
		fmt.Fprintf(&images, "/%s %d 0 R", d.nameOf(i), d.addImage(i))
	}
	resources := d.add("<</Font<<%s>>/XObject<<%s>>>>", &fonts, &images)
	var pages []int
	for i, p := range d.pages {
		content := d.stream("", p.content.Bytes())
		page := d.add("<</Type/Page/Parent %d 0 R/MediaBox[0 0 %s %s]/Resources %d 0 R/Contents %d 0 R/StructParents %d/Tabs/S>>",
			tree, number(p.Width), number(p.Height), resources, content, i)
		fmt.Fprintf(&kids, "%d 0 R ", page)
		pages = append(pages, page)
	}
	d.set(tree, "<</Type/Pages/Count %d/Kids[%s]>>", len(d.pages), &kids)
	metadata, structure := d.metadata(), d.addStructure(pages)
	direction := "L2R"
	if d.info.RightToLeft {
		direction = "R2L"
	}
	d.set(catalog, "<</Type/Catalog/Pages %d 0 R/Lang %s/Metadata %d 0 R/MarkInfo<</Marked true>>/StructTreeRoot %d 0 R"+
		"/ViewerPreferences<</DisplayDocTitle true/Direction/%s>>>>", tree, text(d.info.Language),
		metadata, structure, direction)
	info := d.add("<</Title %s/Author %s/Producer(Schoolbell)%s>>", text(d.info.Title),
		text(d.info.Author), d.created())
	return d.file(catalog, info)
}

func (d *Document) created() string {
	if d.info.Date.IsZero() {
		return ""
	}
	return "/CreationDate(" + d.info.Date.UTC().Format("D:20060102150405") + "+00'00')"
}

// metadata repeats the document information as XMP, which PDF/UA readers look at.
func (d *Document) metadata() int {
	escape := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
		return b.String()
	}
	created := ""
	if !d.info.Date.IsZero() {
		created = "<xmp:CreateDate>" + d.info.Date.UTC().Format(time.RFC3339) + "</xmp:CreateDate>"
	}
	x := fmt.Appendf(nil, `<?xpacket begin="%s" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/">
<dc:format>application/pdf</dc:format><dc:title><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>%s</rdf:li></rdf:Seq></dc:creator><dc:language><rdf:Bag><rdf:li>%s</rdf:li></rdf:Bag></dc:language>
%s<pdf:Producer>Schoolbell</pdf:Producer></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>`, "\ufeff", escape(d.info.Title), escape(d.info.Author), escape(d.info.Language), created)
	return d.add("<</Type/Metadata/Subtype/XML/Length %d>>\nstream\n%s\nendstream", len(x), x)
}

// TitleOf reads the title that [Document.Bytes] wrote into a file; "" when there is none.
func TitleOf(file []byte) string {
	const begins = "<</Title <FEFF"
	at := bytes.LastIndex(file, []byte(begins))
	if at < 0 {
		return ""
	}
	digits, _, _ := bytes.Cut(file[at+len(begins):], []byte(">"))
	raw := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(raw, digits); err != nil || len(raw)%2 != 0 {
		return ""
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// file writes the objects and the table of their offsets. The document's id is a hash of them, not
// a random number.
func (d *Document) file(catalog, info int) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(d.objects))
	for i, o := range d.objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	id := sha256.Sum256(b.Bytes())
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root %d 0 R/Info %d 0 R/ID[<%x><%x>]>>\nstartxref\n%d\n%%%%EOF\n",
		len(offsets)+1, catalog, info, id[:16], id[:16], start)
	return b.Bytes()
}

// text writes a text string, as UTF-16 in hexadecimal digits: no character then needs escaping.
func text(s string) string { return "<FEFF" + hexUTF16(s) + ">" }

func hexUTF16(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", unit)
	}
	return b.String()
}
