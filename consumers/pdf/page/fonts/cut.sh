#!/bin/sh
# Cuts the fonts of this folder out of Debian's fonts-noto-core (20201225). Needs fontTools (python3-fonttools).
set -eu
cd "$(dirname "$0")"
noto=${1:-/usr/share/fonts/truetype/noto}

cut() { # font, characters
	/usr/bin/python3 -m fontTools.subset "$noto/$1.ttf" --output-file="$1.ttf" --unicodes="$2" --layout-features='*' \
		--no-hinting --notdef-outline --drop-tables+=DSIG,FFTM,meta,STAT,gasp --name-IDs=0,1,2,4,5,6,13,14
}

common=U+0020-007E,U+00A0-00FF,U+2000-2015,U+2018-2027,U+202F-203A,U+2044,U+20A0-20BF,U+2116,U+2122,U+2190-2193,U+2212,U+25CC,U+FFFD
latin=U+0100-024F,U+0259,U+02B9-02BC,U+02C6-02DD,U+0300-0323,U+0325-0331,U+0338,U+1E00-1EFF
greek=U+0370-03FF,U+1F00-1FFF
cyrillic=U+0400-052F
arabic=U+0020,U+00A0,U+0600-06FF,U+0750-077F,U+200C-200F,U+25CC,U+FDF2,U+FDFC
hebrew=U+0020,U+00A0,U+0590-05FF,U+200C-200F,U+20AA,U+25CC,U+FB1D-FB4F
devanagari=U+0020,U+00A0,U+0900-097F,U+1CD0-1CF9,U+200C,U+200D,U+20B9,U+25CC,U+A8E0-A8FD

for weight in Regular Bold; do
	cut NotoSans-$weight $common,$latin,$greek,$cyrillic
	cut NotoSansArabic-$weight $arabic
	cut NotoSansHebrew-$weight $hebrew
	cut NotoSansDevanagari-$weight $devanagari
done
