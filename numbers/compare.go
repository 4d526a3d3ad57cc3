package numbers

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Difference is a leaf of a response that is not what the calculation says.
type Difference struct {
	Pointer    string `json:"pointer"`
	Response   string `json:"response"`
	Calculated string `json:"calculated"`
}

// Compared is what was found in a response.
type Compared struct {
	Values      int          `json:"values"` // leaves that were compared
	Differences []Difference `json:"differences"`
	// Unknown are members of the response that the calculation does not make.
	Unknown []string `json:"unknown,omitempty"`
}

// Compare holds a response, as JSON is decoded without types, against a result.
func Compare(result Object, response map[string]any) Compared {
	c := Compared{Differences: []Difference{}}
	for _, name := range slices.Sorted(maps.Keys(response)) {
		if _, made := result[name]; !made {
			c.Unknown = append(c.Unknown, name)
			delete(response, name)
		}
	}
	c.compare("", result, response)
	return c
}

func (c *Compared) compare(at string, want, got any) {
	switch want := want.(type) {
	case Object:
		object, ok := got.(map[string]any)
		if !ok {
			c.differ(at, got, "an object")
			return
		}
		names := maps.Clone(object)
		for name := range want {
			names[name] = nil
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			value, there := object[name]
			expected, made := want[name]
			switch {
			case !made:
				c.differ(at+"/"+name, value, "absent")
			case !there && expected != "": // an empty text may be left out
				c.differ(at+"/"+name, "absent", shown(expected))
			case there:
				c.compare(at+"/"+name, expected, value)
			}
		}
	case List:
		list, ok := got.([]any)
		if !ok && got != nil || len(list) != len(want) {
			c.differ(at, fmt.Sprintf("%d items", len(list)), fmt.Sprintf("%d items", len(want)))
			return
		}
		for i := range want {
			c.compare(at+"/"+strconv.Itoa(i), want[i], list[i])
		}
	default:
		c.Values++
		if !same(want, got) {
			c.differ(at, got, shown(want))
		}
	}
}

// same compares a leaf. Numbers of the response are decimals, which are compared as such.
func same(want, got any) bool {
	n, isNumber := want.(*Number)
	if !isNumber {
		return want == got
	}
	value, isValue := got.(float64)
	if !isValue {
		return false
	}
	decimal, ok := new(big.Rat).SetString(strconv.FormatFloat(value, 'f', -1, 64))
	expected, valid := new(big.Rat).SetString(n.Shown())
	return ok && valid && decimal.Cmp(expected) == 0
}

func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case *Number:
		return v.Shown()
	case Object, List:
		return "a value"
	}
	return fmt.Sprint(v)
}

func (c *Compared) differ(at string, response any, calculated string) {
	c.Differences = append(c.Differences, Difference{at, shown(response), calculated})
}

// At returns what a JSON pointer into a response names.
func At(result Object, pointer string) (value any, found bool) {
	value = result
	if !strings.HasPrefix(pointer, "/") {
		return nil, false
	}
	for part := range strings.SplitSeq(pointer[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch of := value.(type) {
		case Object:
			if value, found = of[part]; !found {
				return nil, false
			}
		case List:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(of) {
				return nil, false
			}
			value = of[i]
		default:
			return nil, false
		}
	}
	return value, true
}
