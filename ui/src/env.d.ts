declare module "virtual:icons" {
  const url: string;
  export default url;
}
declare const __STATES__: boolean;
