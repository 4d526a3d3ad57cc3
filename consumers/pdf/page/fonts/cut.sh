#!/bin/sh
# Cuts the fonts of this folder out of Debian's fonts-noto-core (20201225). Needs fontTools (python3-fonttools).
# The blocks of each script are those of families in fonts.go.
set -eu
cd "$(dirname "$0")"
noto=${1:-/usr/share/fonts/truetype/noto}

cut() { # font, characters
	[ -f "$noto/$1.ttf" ] || return 0 # not every script has a bold font
	/usr/bin/python3 -m fontTools.subset "$noto/$1.ttf" --output-file="$1.ttf" --unicodes="$2" --layout-features='*' \
		--no-hinting --notdef-outline --drop-tables+=DSIG,FFTM,meta,STAT,gasp --name-IDs=0,1,2,4,5,6,13,14
	gzip -9nf "$1.ttf"
}

common=U+0020-007E,U+00A0-00FF,U+2000-2015,U+2018-2027,U+202F-203A,U+2044,U+2070-209F,U+20A0-20BF,U+2100-218F,U+2190-2193,U+2212,U+25CC,U+FFFD
latin=U+0100-036F,U+1E00-1EFF,U+2C60-2C7F,U+A720-A7FF,U+FB00-FB06
greek=U+0370-03FF,U+1F00-1FFF
cyrillic=U+0400-052F,U+1C80-1C88,U+2DE0-2DFF,U+A640-A69F
other=U+0020,U+00A0,U+200B-200F,U+25CC

for weight in Regular Bold; do
	cut NotoSans-$weight $common,$latin,$greek,$cyrillic
	cut NotoSansArabic-$weight U+0020,U+00A0,U+0600-06FF,U+0750-077F,U+200C-200F,U+25CC,U+FDF2,U+FDFC
	cut NotoSansHebrew-$weight U+0020,U+00A0,U+0590-05FF,U+200C-200F,U+20AA,U+25CC,U+FB1D-FB4F
	cut NotoSansDevanagari-$weight U+0020,U+00A0,U+0900-097F,U+1CD0-1CF9,U+200C,U+200D,U+20B9,U+25CC,U+A8E0-A8FD
	cut NotoSansArmenian-$weight $other,U+0530-058F,U+FB13-FB17
	cut NotoSansThaana-$weight $other,U+0780-07BF
	cut NotoSansNKo-$weight $other,U+07C0-07FF
	cut NotoSansBengali-$weight $other,U+0980-09FF
	cut NotoSansGurmukhi-$weight $other,U+0A00-0A7F
	cut NotoSansGujarati-$weight $other,U+0A80-0AFF
	cut NotoSansOriya-$weight $other,U+0B00-0B7F
	cut NotoSansTamil-$weight $other,U+0B80-0BFF
	cut NotoSansTelugu-$weight $other,U+0C00-0C7F
	cut NotoSansKannada-$weight $other,U+0C80-0CFF
	cut NotoSansMalayalam-$weight $other,U+0D00-0D7F
	cut NotoSansSinhala-$weight $other,U+0D80-0DFF
	cut NotoSansThai-$weight $other,U+0E00-0E7F
	cut NotoSansLao-$weight $other,U+0E80-0EFF
	cut NotoSansMyanmar-$weight $other,U+1000-109F,U+A9E0-A9FF,U+AA60-AA7F
	cut NotoSansGeorgian-$weight $other,U+10A0-10FF,U+1C90-1CBF,U+2D00-2D2F
	cut NotoSansEthiopic-$weight $other,U+1200-139F,U+2D80-2DDF,U+AB00-AB2F
	cut NotoSansCherokee-$weight $other,U+13A0-13FF,U+AB70-ABBF
	cut NotoSansCanadianAboriginal-$weight $other,U+1400-167F,U+18B0-18FF
	cut NotoSansKhmer-$weight $other,U+1780-17FF,U+19E0-19FF
	cut NotoSansOlChiki-$weight $other,U+1C50-1C7F
	cut NotoSansTifinagh-$weight $other,U+2D30-2D7F
	cut NotoSansMeeteiMayek-$weight $other,U+AAE0-AAFF,U+ABC0-ABFF
	cut NotoSansMath-$weight $other,U+2200-22FF
	cut NotoSansAdlam-$weight $other,U+1E900-1E95F
done
