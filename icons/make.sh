#!/usr/bin/env bash
# Draws every picture here from the two SVG files. The pictures are part of the project, so only whoever changes
# a drawing needs this and what it uses: librsvg2-bin, imagemagick, icoutils, icnsutils.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# An arc of n eighths of a circle round (16, 16), from the top and clockwise.
arc() {
    awk -v n="$1" 'BEGIN {
        r = 9.5; a = n * atan2(0, -1) / 4
        if (n == 0) { print "M16 6.5"; exit }
        if (n >= 8) { printf "M16 %s A%s %s 0 1 1 15.99 %s Z", 16 - r, r, r, 16 - r; exit }
        printf "M16 %s A%s %s 0 %d 1 %.3f %.3f", 16 - r, r, r, (n > 4), 16 + r * sin(a), 16 - r * cos(a)
    }'
}

# tray NAME STATE EIGHTHS: one state, in colours for all and as a template for macOS, where only the alpha counts.
tray() {
    local name="$1" state="$2" svg="$work/$1.svg" hide=""
    for other in idle update paused attention working; do
        [ "$other" = "$state" ] || hide+=".$other { display: none } "
    done
    sed -e "s|</style>|$hide</style>|" -e "s|d=\"ARC\"|d=\"$(arc "$3")\"|" tray.svg >"$svg"
    rsvg-convert -w 32 -h 32 "$svg" -o "tray/$name-32.png"
    rsvg-convert -w 44 -h 44 "$svg" -o "tray/$name-44.png"
    echo ".disc { fill: #000 !important; stroke: #000 !important }" >"$work/template.css"
    rsvg-convert -w 44 -h 44 -s "$work/template.css" "$svg" -o "$work/t.png"
    convert "$work/t.png" -alpha extract "$work/shape.png"
    convert "$work/t.png" -background black -alpha remove -alpha off -colorspace gray -negate "$work/ink.png"
    convert "$work/shape.png" "$work/ink.png" -compose multiply -composite "$work/alpha.png"
    convert -size 44x44 xc:black "$work/alpha.png" -alpha off -compose copy_opacity -composite "tray/$name-template.png"
}

mkdir -p tray
tray idle idle 0
tray update update 0
tray paused paused 0
tray attention attention 0
for step in 0 1 2 3 4 5 6 7 8; do tray "working-$step" working "$step"; done

for size in 16 24 32 48 64 128 256 512; do
    rsvg-convert -w "$size" -h "$size" app.svg -o "$work/app-$size.png"
done
cp "$work/app-128.png" app-128.png
icotool -c -o app.ico "$work"/app-{16,24,32,48,64,256}.png
png2icns app.icns "$work"/app-{16,32,48,128,256,512}.png >/dev/null
for picture in tray/*.png app-128.png; do
    # The same bytes for the same drawing.
    convert "$picture" -strip -define png:exclude-chunk=date,time "PNG32:$picture"
done
