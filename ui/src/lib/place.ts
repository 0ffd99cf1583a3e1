/** What a meter is called where people name its place: that, or its name where none was enrolled. */
export const placeOf = ({ place, name }: { place: string; name: string }): string =>
  place === "" ? name : place;
