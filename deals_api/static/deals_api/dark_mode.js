// Select the dark theme of Swagger UI if the system prefers dark colours.
"use strict";

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const selectTheme = () => document.documentElement.classList.toggle("dark-mode", darkScheme.matches);

darkScheme.addEventListener("change", selectTheme);
selectTheme();
