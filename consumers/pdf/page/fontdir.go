package page

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// openDir reads the fonts of a directory: TrueType and OpenType files, and the first font of each
// collection, whose others differ in how single letters are drawn. They are tried in the order of
// their names.
func openDir(dir string) ([]*family, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var families []*family
	for i, e := range entries { // in the order of their names
		extension := strings.ToLower(filepath.Ext(e.Name()))
		if !slices.Contains([]string{".ttf", ".otf", ".ttc", ".otc"}, extension) {
			continue
		}
		t, aspect, err := openFile(filepath.Join(dir, e.Name()), i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
		}
		families = addTo(families, t, aspect)
	}
	if len(families) == 0 {
		return nil, fmt.Errorf("%s has no font: want .ttf, .otf or .ttc files: %w", dir,
			fs.ErrNotExist)
	}
	return families, nil
}

// openFile reads a font and what its weight is. Its name in documents is made of ours, as its own
// may be anything.
func openFile(path string, number int) (*typeface, font.Description, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, font.Description{}, err
	}
	defer file.Close()
	loaders, err := opentype.NewLoaders(file)
	if err != nil {
		return nil, font.Description{}, err
	}
	if len(loaders) == 0 {
		return nil, font.Description{}, errors.New("it has no font")
	}
	t, err := newTypeface("", loaders[0])
	if err != nil {
		return nil, font.Description{}, err
	}
	description := t.font.Describe()
	t.name = fmt.Sprintf("Added%d", number+1)
	return t, description, nil
}

// addTo adds a typeface to its family. One without a bold weight is drawn with its regular one, and
// the other way round.
func addTo(families []*family, t *typeface, about font.Description) []*family {
	open := func() (*typeface, error) { return t, nil }
	bold := about.Aspect.Weight >= font.WeightSemibold
	i := slices.IndexFunc(families, func(f *family) bool { return f.name == about.Family })
	if i < 0 {
		return append(families, &family{name: about.Family, regular: open, bold: open})
	}
	if bold {
		families[i].bold = open
	} else {
		families[i].regular = open
	}
	return families
}
