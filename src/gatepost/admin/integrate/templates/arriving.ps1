Ensure 'TransportRule' @in@ @{
    FromScope = 'NotInOrganization'
    SentToScope = 'InOrganization'
    ExceptIfHeaderMatchesMessageHeader = @field@
    ExceptIfHeaderMatchesPatterns = '.'
    RouteMessageOutboundConnector = @to@
    Priority = 2
}
