"""`auth/v1` for development: anonymous and e-mail sign-in in the words of Supabase's GoTrue.

No mail is sent: an address counts as confirmed when somebody signs up with it. That, and the few methods, is why a
project beyond development signs in elsewhere (hosted Supabase, or any issuer with a JWKS address).
"""
