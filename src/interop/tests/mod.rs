mod commands;
mod gateway;
mod identity;
